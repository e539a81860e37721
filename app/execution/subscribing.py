"""A subscription that runs: one answer for each thing that it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.errors import CostBudgetError
from app.execution.running import Answered, CountCost, Engine, Ready


class Subscription:
    """Answers while there is something to tell; whoever has begun it closes it.

    Each answer has a new context, so that its loaders find what is there now. Each is counted against the caller's
    budget, and once that is used up the next ones wait for the minute's end: they are kept where they are read from.
    """

    def __init__(
        self,
        engine: Engine,
        ready: Ready,
        source: Any,
        *,
        new_context: Callable[[], Any],
        count_cost: CountCost,
        request_id: str | None,
    ) -> None:
        self._engine = engine
        self._ready = ready
        self._source = source
        self._new_context = new_context
        self._count_cost = count_cost
        self._request_id = request_id
        # What the operation cost when it was made ready is its first answer.
        self._is_paid = True

    @classmethod
    async def begin(
        cls,
        engine: Engine,
        ready: Ready,
        *,
        new_context: Callable[[], Any],
        count_cost: CountCost,
        request_id: str | None,
    ) -> Subscription:
        """Begin it; raises RefusedError."""
        source = await engine.source(ready, new_context())
        return cls(engine, ready, source, new_context=new_context, count_cost=count_cost, request_id=request_id)

    async def next(self) -> Answered:
        """The next answer, whenever it comes; raises an error of the portal's tree at the end of what can be told."""
        told = await anext(self._source)
        if not self._is_paid:
            await self._pay()
        self._is_paid = False
        answered = await self._engine.run(self._ready, self._new_context(), self._request_id, told)
        # What is left of a budget is told once, where an operation begins.
        answered.body.pop("extensions", None)
        return answered

    def close(self) -> None:
        """Tell nothing more; may be called again."""
        self._source.close()

    async def _pay(self) -> None:
        while True:
            try:
                await self._count_cost(self._ready.cost["requested"])
            except CostBudgetError as failure:
                await asyncio.sleep(max(1, failure.values["retry_after"]))
            else:
                break
