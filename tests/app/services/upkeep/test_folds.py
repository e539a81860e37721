"""Folding goes on after what it has folded, and never reads past it again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.live import LiveServer

from app.context import Context
from app.services.upkeep import folds


async def test_each_time_begins_after_the_last_and_a_late_change_is_for_the_next_fold(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "CHANGES_AT_ONCE", 2)
    waiting, asked = [2, 3, 5, 8, 9], []

    async def fold_some(ctx: Context, after: int, max_rows: int) -> Sequence[int]:
        asked.append(after)
        taken = [each for each in sorted(waiting) if each > after][:max_rows]
        for each in taken:
            waiting.remove(each)
        if 5 in taken:
            waiting.append(1)
        return taken[::-1]

    folded = [await folds.fold_all(sanic_client.ctx, fold_some) for _ in range(3)]

    assert folded == [5, 1, 0]
    assert asked == [0, 3, 8, 0, 0]
    assert waiting == []
