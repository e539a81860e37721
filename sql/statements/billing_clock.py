"""How far the clock of billing is ahead of the machine's."""

from __future__ import annotations

from sqlalchemy import select

from sql.dialect import insert
from sql.tables import billing_clock

THE_ROW = 1

seconds_ahead = select(billing_clock.c.ahead_seconds).where(billing_clock.c.id == THE_ROW)

_moved = insert(billing_clock)

# It never goes back, or what has ended would begin again.
move_ahead = _moved.on_conflict_do_update(
    index_elements=[billing_clock.c.id],
    set_={"ahead_seconds": _moved.excluded.ahead_seconds},
    where=billing_clock.c.ahead_seconds < _moved.excluded.ahead_seconds,
)
