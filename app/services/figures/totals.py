"""How many there are of something: kept by the database for everything, counted up to a bound behind a filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from app.database.connections import ReadConnection
from app.services.figures.sums import ALL_TIME, EXPIRED, read_with_expired
from sql.counting import MAX_COUNTED

Record = TypeVar("Record")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Total:
    """A number of rows; where it is capped, there are more."""

    total: int
    is_capped: bool = False

    def pages(self, page_size: int) -> int:
        """How many pages of this size hold them, at least one."""
        return max(1, -(-self.total // page_size))


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list, and how long the list is."""

    rows: list[Row]
    total: Total


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
        return capped(self.total)


def read_page(rows: Sequence[Sequence[Any]], into: Callable[..., Record]) -> tuple[list[Record], int]:
    """The records of a page that stands beside its total, which is the first column, and the total.

    A row without an id is the total's of an empty page, or that of something deleted meanwhile.
    """
    return [into(*row[1:]) for row in rows if row[1] is not None], rows[0][0] if rows else 0


async def codes_in(conn: ReadConnection, status: str, now: datetime) -> Total:
    """The number of codes that show a status at this moment: revoked before expired, expired before used."""
    expiring = ("codes_held", "codes_open")
    periods = [(metric, ALL_TIME) for metric in (*expiring, "codes_revoked")]
    figures = await read_with_expired(conn, now, periods, expiring)
    expired = figures.of("codes_held", EXPIRED)
    active = figures.of("codes_open") - figures.of("codes_open", EXPIRED)
    used = figures.of("codes_held") - expired - active
    revoked = figures.of("codes_revoked")
    return capped({"active": active, "used": used, "expired": expired, "revoked": revoked}[status])


def capped(total: int) -> Total:
    """A number that was counted behind a filter, exact up to the bound."""
    return Total(min(total, MAX_COUNTED), total > MAX_COUNTED)
