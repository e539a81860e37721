"""The usage log of models as a list: filtered, newest first, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, Literal, NamedTuple

from app.calendar import start_of
from app.context import Context
from app.cursors import EPOCH, cursor_of, moment_of, place_at, place_of
from app.services.figures.totals import Total, capped, read_page
from sql.lists import llm_call_list as statements
from sql.lists.llm_call_list import CallFilter

DAYS: Final = {"1day": 1, "7days": 7, "30days": 30}

_call_page = cache(statements.call_page)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which calls are wanted; None means any.

    ``period`` is ``today``, which is since midnight where the installation stands, or ``1day``, ``7days`` or
    ``30days`` up to now; any other word means all.
    """

    period: str = "7days"
    agent_type: str | None = None
    provider: str | None = None
    status: Literal["success", "error", "cached"] | None = None
    tenant_slug: str | None = None
    project_id: str | None = None


class Call(NamedTuple):
    """A row of the log; the cost is in 1e-9 USD."""

    id: int
    created_at: datetime
    agent_type: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost: int
    duration_ms: int
    success: bool
    error_message: str | None
    task_description: str | None
    cached: bool
    tenant_id: int | None
    project_id: str | None
    run_id: int | None

    @property
    def cursor(self) -> str:
        """Leads to the calls behind this one."""
        return cursor_of(place_at(self.created_at, self.id))


class CallPage(NamedTuple):
    """Some calls, how many there are, and where the next page begins; None at the end."""

    rows: list[Call]
    total: Total
    next_cursor: str | None


async def list_calls(
    ctx: Context, chosen: Chosen, *, cursor: str | None = None, page: int = 1, page_size: int = 50
) -> CallPage:
    """A page of calls, newest first, after a cursor or, without one, by its number.

    The total is exact up to 10,000. Raises ValidationError for a cursor that is not ours.
    """
    conditions = {name: value for name in CallFilter._fields if (value := getattr(chosen, name)) is not None}
    values: dict[str, Any] = {**conditions, "since": _since(ctx, chosen.period), "page_size": page_size + 1}
    if cursor is None:
        values["skip"] = (page - 1) * page_size
    else:
        place = place_of(cursor)
        values |= {"cursor_at": moment_of(place), "cursor_id": place[1]}
    statement = _call_page(CallFilter(**dict.fromkeys(conditions, True)), chosen.status, cursor is not None)
    async with ctx.read() as conn:
        rows, counted = read_page(await conn.rows(statement, **values), Call)
    has_more = len(rows) > page_size
    rows = rows[:page_size]
    return CallPage(rows, capped(counted), rows[-1].cursor if has_more else None)


def _since(ctx: Context, period: str) -> datetime:
    if period == "today":
        return start_of(ctx.today(), ctx.runtime.zone)
    return ctx.now() - timedelta(days=DAYS[period]) if period in DAYS else EPOCH
