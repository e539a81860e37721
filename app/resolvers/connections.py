"""Connections: a page of a list by age or by another total order, and the cursors that lead on from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ariadne import InterfaceType

from app.cursors import Place, cursor_of, place_of
from app.errors import ValidationError
from app.resolvers.context import Info
from app.resolvers.inputs import at_most
from app.services.figures.totals import Total

Row = TypeVar("Row")

connection: Final = InterfaceType("Connection")
# Of a list that nobody counts: its connection has no totalCount.
NOT_COUNTED: Final = Total(0)


class PageInfo(NamedTuple):
    """Where a page begins and ends, and whether there is more."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


class Edge(NamedTuple):
    """An object of a page, with its cursor."""

    cursor: str
    node: Any


@dataclass(frozen=True, slots=True)
class Slice:
    """The page that a caller asks for: so many behind a place, or the first ones.

    Lists read ``wanted`` rows, one more than are answered: it says whether there is a next page.
    """

    first: int
    after: str | None = None

    @classmethod
    def asked(cls, first: int, after: str | None) -> Slice:
        """The page within its bounds; raises ValidationError below 0."""
        return cls(at_most(first, "first"), after)

    @property
    def wanted(self) -> int:
        """How many rows to read."""
        return self.first + 1

    @property
    def place(self) -> Place | None:
        """Where the page begins, None at the beginning of the list; raises ValidationError for what is no cursor."""
        return None if self.after is None else place_of(self.after, argument="after")

    @property
    def place_by_id(self) -> Place | None:
        """The same in a list that is ordered by its ids."""
        return None if self.after is None else place_of(self.after, maximum=1, argument="after")

    def connection(
        self,
        rows: Sequence[Row],
        cursor: Callable[[Row], str],
        total: Total | Callable[[], Awaitable[Total]] = NOT_COUNTED,
    ) -> Connection[Row]:
        """The page of the rows that were read, each with its cursor.

        ``total`` is asked for its number only where somebody asks for that, which nobody can of a connection that does
        not implement the interface.
        """
        return Connection(list(rows[: self.first]), cursor, len(rows) > self.first, self.after is not None, total)


@dataclass(frozen=True, slots=True)
class Connection(Generic[Row]):
    """A page of a list, and how long the list is."""

    nodes: list[Row]
    cursor: Callable[[Row], str]
    has_next: bool
    has_previous: bool
    total: Total | Callable[[], Awaitable[Total]]

    @property
    def edges(self) -> list[Edge]:
        """The objects with their cursors."""
        return [Edge(self.cursor(node), node) for node in self.nodes]

    @property
    def page_info(self) -> PageInfo:
        """Where the page begins and ends."""
        first, last = (self.cursor(self.nodes[0]), self.cursor(self.nodes[-1])) if self.nodes else (None, None)
        return PageInfo(self.has_next, self.has_previous, first, last)

    async def counted(self) -> Total:
        """How long the list is."""
        return self.total if isinstance(self.total, Total) else await self.total()


@contextmanager
def cursor_is_after() -> Iterator[None]:
    """Have an error that a use case raises of its cursor name the argument ``after``, which the cursor came by."""
    try:
        yield
    except ValidationError as failure:
        fields = [wrong._replace(path=("after",)) if wrong.path == ("cursor",) else wrong for wrong in failure.fields]
        raise ValidationError(*fields) from None


def by_id(row: Any) -> str:
    """The cursor of a row of a list that is ordered by its ids, the newest first."""
    return cursor_of((0, row.id))


@connection.field("totalCount")
async def resolve_total_count(of: Connection[Any], info: Info) -> int:
    """How many there are on all pages."""
    return (await of.counted()).total


@connection.field("totalCountIsCapped")
async def resolve_total_count_is_capped(of: Connection[Any], info: Info) -> bool:
    """Whether there are more."""
    return (await of.counted()).is_capped
