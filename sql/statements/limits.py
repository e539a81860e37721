"""Rate limits that are exact across all workers: one conditional upsert per hit."""

from __future__ import annotations

from sqlalchemy import bindparam, case, delete, or_, select, update

from sql.dialect import insert
from sql.removal import some_of
from sql.tables import rate_windows
from sql.tables.columns import Instant

_hit = insert(rate_windows)
_now = bindparam("now", type_=Instant)
_ended = rate_windows.c.ends_at <= _now
# No window is longer than a new one: this one began by a clock that was ahead and has been put right.
_is_too_long = rate_windows.c.ends_at > _hit.excluded.ends_at

# A window begins with its first hit. A hit in a full window changes nothing and returns no row, unless the window is
# too long: then it ends as late as a new one would, and its hits, more than allowed now, are returned.
count_hit = _hit.on_conflict_do_update(
    index_elements=[rate_windows.c.key_hash],
    set_={
        "hits": case((_ended, 1), else_=rate_windows.c.hits + 1),
        "ends_at": case((or_(_ended, _is_too_long), _hit.excluded.ends_at), else_=rate_windows.c.ends_at),
    },
    where=or_(_ended, _is_too_long, rate_windows.c.hits < bindparam("max_hits")),
).returning(rate_windows.c.hits)

window_end = select(rate_windows.c.ends_at).where(rate_windows.c.key_hash == bindparam("key_hash"))

give_hit_back = (
    update(rate_windows)
    .where(
        rate_windows.c.key_hash == bindparam("of_key_hash"),
        rate_windows.c.hits > 0,
        rate_windows.c.ends_at > bindparam("now"),
    )
    .values(hits=rate_windows.c.hits - 1)
)

delete_window = delete(rate_windows).where(rate_windows.c.key_hash == bindparam("of_key_hash"))

delete_ended_windows = some_of(rate_windows, rate_windows.c.ends_at <= bindparam("now"))
