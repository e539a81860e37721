"""Worker heartbeats, leases and calls for errands, and what a worker needs before it can work."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, bindparam, delete, false, func, not_, or_, select

from sql.dialect import batch_rows, insert
from sql.holds import is_over
from sql.statements.licensing import verifying_keys
from sql.tables import errand_calls, leases, worker_heartbeats
from sql.tables.columns import Instant
from sql.tables.workers import alembic_version

current_migration = select(func.max(alembic_version.c.version_num).label("migration"))

# By the primary key, so that it is quick however many wait.
_oldest_call = select(errand_calls.c.called_at).order_by(errand_calls.c.id).limit(1).scalar_subquery()
_working = (
    select(func.count()).select_from(worker_heartbeats).where(worker_heartbeats.c.beat_at >= bindparam("alive_since"))
)

# Whether background work is done: how many processes do it, and since when the oldest call has waited for one.
work = select(_working.scalar_subquery().label("processes"), _oldest_call.label("oldest_call_at"))

# A schema that it knows, keys to sign with, and the same.
readiness = select(
    current_migration.scalar_subquery().label("migration"),
    select(func.count()).select_from(verifying_keys.order_by(None).subquery()).scalar_subquery().label("signing_keys"),
    _working.scalar_subquery().label("processes"),
    _oldest_call.label("oldest_call_at"),
)

_heartbeat = insert(worker_heartbeats)

record_worker_heartbeat = _heartbeat.on_conflict_do_update(
    index_elements=[worker_heartbeats.c.executor_id], set_={"beat_at": _heartbeat.excluded.beat_at}
)

_LATEST = bindparam("latest", None, type_=Instant)

# A beat that lies ahead of every clock was written by one that has been put right: whoever lives has written another.
executors_alive = select(worker_heartbeats.c.executor_id).where(
    worker_heartbeats.c.beat_at >= bindparam("since"),
    not_(func.coalesce(worker_heartbeats.c.beat_at > _LATEST, false())),
)

delete_worker_heartbeat = delete(worker_heartbeats).where(worker_heartbeats.c.executor_id == bindparam("executor_id"))

delete_dead_worker_heartbeats = delete(worker_heartbeats).where(
    or_(worker_heartbeats.c.beat_at < bindparam("before"), worker_heartbeats.c.beat_at > _LATEST)
)

_lease = insert(leases)

# One upsert: the holder extends its lease, and any other worker takes it once it has expired, or where a clock that
# stood ahead has made it end later than any lease does.
take_lease = _lease.on_conflict_do_update(
    index_elements=[leases.c.name],
    set_={"holder": _lease.excluded.holder, "expires_at": _lease.excluded.expires_at},
    where=or_(leases.c.holder == _lease.excluded.holder, is_over(leases.c.expires_at)),
).returning(leases.c.holder)

release_lease = delete(leases).where(leases.c.name == bindparam("name"), leases.c.holder == bindparam("holder"))

_calls = batch_rows(errand=String, row_id=BigInteger)

insert_errand_calls = insert(errand_calls).from_select(
    ["errand", "row_id", "called_at"],
    select(_calls.c.errand, _calls.c.row_id, bindparam("now", type_=errand_calls.c.called_at.type)),
)

oldest_errand_calls = (
    select(errand_calls.c.id, errand_calls.c.errand, errand_calls.c.row_id)
    .order_by(errand_calls.c.id)
    .limit(bindparam("max_rows"))
)

_answered = batch_rows(id=BigInteger)

delete_errand_calls = delete(errand_calls).where(errand_calls.c.id.in_(select(_answered.c.id)))
