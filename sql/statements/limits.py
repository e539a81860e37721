"""Limits that hold exactly over all workers: one row a window, moved by one statement."""

from __future__ import annotations

from sqlalchemy import bindparam, case

from sql.dialect import insert
from sql.tables import rate_windows
from sql.tables.columns import Instant

_hit = insert(rate_windows).values(key_hash=bindparam("key_hash"), hits=1, ends_at=bindparam("ends_at"))
_is_over = rate_windows.c.ends_at <= bindparam("now", type_=Instant)

# A window that has ended begins anew. One that is full counts no further, however many ask: whoever reads more hits
# than are allowed is refused.
count_hit = _hit.on_conflict_do_update(
    index_elements=[rate_windows.c.key_hash],
    set_={
        "hits": case(
            (_is_over, 1),
            (rate_windows.c.hits > bindparam("most"), rate_windows.c.hits),
            else_=rate_windows.c.hits + 1,
        ),
        "ends_at": case((_is_over, _hit.excluded.ends_at), else_=rate_windows.c.ends_at),
    },
).returning(rate_windows.c.hits, rate_windows.c.ends_at)
