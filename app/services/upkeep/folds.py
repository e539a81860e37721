"""Folding changes into sums: the oldest first, some at a time, each time in a transaction of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from app.context import Context

# So many that a transaction of them takes a few hundredths of a second.
CHANGES_AT_ONCE = 2000
# Folds the oldest changes after one of this id, so many at most, and answers their ids.
FoldSome = Callable[[Context, int, int], Awaitable[Sequence[int]]]


async def fold_all(ctx: Context, fold_some: FoldSome) -> int:
    """Fold the changes that have committed; answers how many there were.

    Each time it goes on after the last id. PostgreSQL keeps what was deleted in the index until it is vacuumed, and a
    fold that began at the beginning again would read past all of that, each time more. Changes that commit late, with
    an id that lies behind, are folded the next time.
    """
    folded, after = 0, 0
    while ids := await fold_some(ctx, after, CHANGES_AT_ONCE):
        folded += len(ids)
        after = max(ids)
        if len(ids) < CHANGES_AT_ONCE:
            break
    return folded
