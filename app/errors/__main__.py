"""``python -m app.errors`` draws the tree of errors, each with its status and its code."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from app.errors import PortalError


def drawing(error: type[PortalError] = PortalError) -> Iterator[str]:
    """An error and everything below it, line by line."""
    yield f"{error.__name__} ({error.status} {error.code})"
    children = error.__subclasses__()
    for child in children:
        is_last = child is children[-1]
        first, *others = drawing(child)
        yield f"{'└── ' if is_last else '├── '}{first}"
        yield from (f"{'    ' if is_last else '│   '}{line}" for line in others)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in drawing())
