"""How many there are of something: kept by the database for everything, counted up to a bound behind a filter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Executable

from app.db import ReadConnection
from app.services.figures import ALL_TIME, EXPIRED, current_subscriptions, read_figures, read_with_expired
from sql.counting import MOST_COUNTED


@dataclass(frozen=True, slots=True)
class Total:
    """A number of rows; where it is capped, there are more."""

    total: int
    is_capped: bool = False

    def pages(self, page_size: int) -> int:
        """How many pages of this size hold them, at least one."""
        return max(1, -(-self.total // page_size))


class Found(NamedTuple):
    """How many rows a search finds, and their ids as a batch unless there are more than are counted."""

    total: int
    batch: str | None

    @property
    def way(self) -> str:
        """How a page of them is found.

        Few are looked for first and then put in order; where there are too many to be named, each is compared on the
        way along the order, because the next that matches is never far.
        """
        return "way" if self.batch is None else "found"

    @property
    def counted(self) -> Total:
        """How many there are, exact up to the bound."""
        return _capped(self.total)


async def all_rows(conn: ReadConnection, metric: str) -> Total:
    """What a figure comes to over all time."""
    return Total((await read_figures(conn, [(metric, ALL_TIME)])).of(metric))


async def tenants_in(conn: ReadConnection, status: str) -> Total:
    """The number of tenants whose current subscription is in a state, or with ``none`` of those without one."""
    if status == "none":
        figures = await read_figures(conn, [(name, ALL_TIME) for name in ("tenants_created", "subscriptions_current")])
        return _capped(figures.of("tenants_created") - figures.of("subscriptions_current"))
    held = await current_subscriptions(conn)
    return _capped(sum(count for (_, state), count in held.items() if state == status))


async def codes_in(conn: ReadConnection, status: str, now: datetime) -> Total:
    """The number of codes that show a status at this moment: revoked before expired, expired before used."""
    kept = ("codes_held", "codes_open")
    asked = [(metric, ALL_TIME) for metric in (*kept, "codes_revoked")]
    figures = await read_with_expired(conn, now, asked, kept)
    expired = figures.of("codes_held", EXPIRED)
    active = figures.of("codes_open") - figures.of("codes_open", EXPIRED)
    used = figures.of("codes_held") - expired - active
    revoked = figures.of("codes_revoked")
    return _capped({"active": active, "used": used, "expired": expired, "revoked": revoked}[status])


async def rows_found(conn: ReadConnection, statement: Executable, **values: Any) -> Total:
    """What a counting statement finds, exact up to its bound."""
    return _capped(await conn.one(statement, int, **values))


def _capped(total: int) -> Total:
    return Total(min(total, MOST_COUNTED), total > MOST_COUNTED)
