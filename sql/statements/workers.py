"""Heartbeats of workers, and leases."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, or_, select

from sql.dialect import insert
from sql.tables import leases, worker_heartbeats

_heartbeat = insert(worker_heartbeats)

record_worker_heartbeat = _heartbeat.on_conflict_do_update(
    index_elements=[worker_heartbeats.c.executor_id], set_={"beat_at": _heartbeat.excluded.beat_at}
)

executors_alive = select(worker_heartbeats.c.executor_id).where(worker_heartbeats.c.beat_at >= bindparam("since"))

delete_worker_heartbeat = delete(worker_heartbeats).where(worker_heartbeats.c.executor_id == bindparam("executor_id"))

delete_dead_worker_heartbeats = delete(worker_heartbeats).where(worker_heartbeats.c.beat_at < bindparam("before"))

_lease = insert(leases)

# One upsert: the holder extends its lease, and any other worker takes it once it has expired.
take_lease = _lease.on_conflict_do_update(
    index_elements=[leases.c.name],
    set_={"holder": _lease.excluded.holder, "expires_at": _lease.excluded.expires_at},
    where=or_(leases.c.holder == _lease.excluded.holder, leases.c.expires_at <= bindparam("now")),
).returning(leases.c.holder)

release_lease = delete(leases).where(leases.c.name == bindparam("name"), leases.c.holder == bindparam("holder"))
