"""All rows of a list that use cases answer page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from app.services.figures.totals import Page

PAGE_SIZE = 500


class _Listed(Protocol):
    @property
    def id(self) -> int: ...


Row = TypeVar("Row", bound=_Listed)


async def all_rows(list_page: Callable[[int, int], Awaitable[Page[Row]]]) -> list[Row]:
    """The rows of every page, given a function of the page's number and size.

    A row that moved to a later page meanwhile is taken once.
    """
    rows: dict[int, Row] = {}
    number = 1
    while page := (await list_page(number, PAGE_SIZE)).rows:
        rows |= {row.id: row for row in page}
        number += 1
        if len(page) < PAGE_SIZE:
            break
    return list(rows.values())
