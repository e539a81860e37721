"""Tables for a terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The rows as Markdown; a value that is None is an empty cell."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *cells))
