"""Batching: requests that wait at the same time share one statement.

The requests that arrive while a batch runs form the next batch: a group commit without a timer and without a cache.
Every read starts after its request has arrived, and every write is acknowledged after its commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar, cast

from app.database.aside import Aside, Waiting
from app.errors import DatabaseConflictError, OverloadedError, RowLockedError, ShuttingDownError, UnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Of what may wait in a queue, one owner whose row is locked has such a part beside it.
ASIDE_PART: Final = 10


class Coalescer(Generic[Item, Answer]):
    """Collects items and runs them in batches, at most ``lanes`` batches at a time.

    ``run`` gets the items of one batch and returns their answers in the same order; it does all of a batch or nothing.
    If a batch fails, its items are retried one by one, so that a poisoned item never fails the others. An outage of the
    database fails the whole batch at once.

    Where a batch waits too long for a row that somebody has locked, the items of each owner are run apart and the lane
    goes on without them; the next items of an owner whose row is still locked do not enter it.

    A batch takes all that waits, up to ``batch_size``, or with ``parts`` one of so many parts of it. All of a batch are
    answered at once: where much is computed after an answer, each would wait while the others are, and they would stay
    together from then on. In parts they go on one after another, and the batches still grow with the load.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        lanes: int,
        batch_size: int,
        queue_size: int,
        parts: int = 1,
        owner: Callable[[Item], Hashable] = lambda item: None,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._batch_size = batch_size
        self._queue_size = queue_size
        self._parts = parts
        self._observe = observe
        self._owner = owner
        self._aside: Aside[Item, Answer] = Aside(self._answer_alone, max_weight=queue_size // ASIDE_PART)
        self._waiting: deque[Waiting[Item, Answer]] = deque()
        self._weight_waiting = 0
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    async def ask(self, item: Item, weight: int = 1) -> Answer:
        """Wait for the answer to one item; ``weight`` is how much of a batch's size it takes.

        Raises OverloadedError when the queue is full, ShuttingDownError once the server stops, or the error that
        ``run`` raises for this item.
        """
        return await self.put(item, weight)

    def put(self, item: Item, weight: int = 1) -> asyncio.Future[Answer]:
        """Let an item wait at once; the future becomes what ``ask`` returns.

        What waits is answered even if the server stops next or nobody looks at the future any more, unless the future
        itself is cancelled. Raises OverloadedError or ShuttingDownError.
        """
        if self._closed:
            raise ShuttingDownError
        if self._weight_waiting and self._weight_waiting + weight > self._queue_size:
            raise OverloadedError
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if not self._aside.is_idle and self._aside.takes(owner := self._owner(item)):
            self._aside.put(owner, [(item, weight, answer)])
            return answer
        self._waiting.append((item, weight, answer))
        self._weight_waiting += weight
        if len(self._running) < self._lanes:
            self._running.add(asyncio.create_task(self._drive()))
        return answer

    async def drain(self) -> None:
        """Refuse new items, and return once every waiting item has its answer."""
        self._closed = True
        while running := self._running | self._aside.running:
            await asyncio.wait(running)

    async def _drive(self) -> None:
        try:
            # Requests of the same iteration of the event loop have joined by now: a task begins with the next one.
            while batch := self._next_batch():
                self._observe(len(batch))
                try:
                    await self._answer(batch)
                except BaseException:
                    _fail(batch, ShuttingDownError())
                    raise
                # Let the event loop run once, so that requests that arrived while this batch ran can join the next one.
                await asyncio.sleep(0)
        finally:
            # Not in a callback of the task: that would run one iteration of the event loop later, and an item added in
            # between would wait for a lane that has already ended.
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            if not self._running:
                # Items can only be left if the lane's task was cancelled from outside.
                while batch := self._next_batch():
                    _fail(batch, ShuttingDownError())

    async def _answer(self, batch: Sequence[Waiting[Item, Answer]]) -> None:
        try:
            answers = await self._run([item for item, *_ in batch])
        except RowLockedError:
            self._step_aside(batch)
        except Exception as failure:  # noqa: BLE001 - passed on to the waiting request
            if len(batch) == 1 or _is_outage(failure):
                _fail(batch, failure)
            else:
                await self._one_by_one(batch)
        else:
            _tell(batch, answers)

    def _step_aside(self, batch: Iterable[Waiting[Item, Answer]]) -> None:
        owners: dict[Hashable, list[Waiting[Item, Answer]]] = {}
        for each in batch:
            owners.setdefault(self._owner(each[0]), []).append(each)
        for owner, items in owners.items():
            self._aside.put(owner, items)

    async def _answer_alone(self, batch: Sequence[Waiting[Item, Answer]]) -> None:
        """Answer the items of one owner; raises RowLockedError and answers none of them while its row is locked."""
        try:
            answers = await self._run([item for item, *_ in batch])
        except RowLockedError:
            raise
        except Exception as failure:  # noqa: BLE001 - passed on to the waiting request
            if len(batch) == 1 or _is_outage(failure):
                _fail(batch, failure)
            else:
                await self._one_by_one(batch, is_aside=True)
        else:
            _tell(batch, answers)

    def _next_batch(self) -> list[Waiting[Item, Answer]]:
        """The oldest items, up to the size of a batch; those whose request was cancelled are dropped."""
        batch: list[Waiting[Item, Answer]] = []
        room = min(self._batch_size, -(-self._weight_waiting // self._parts))
        while self._waiting:
            item, weight, waiter = self._waiting[0]
            if batch and weight > room:
                break
            self._waiting.popleft()
            self._weight_waiting -= weight
            if waiter.done():
                continue
            if not self._aside.is_idle and self._aside.takes(owner := self._owner(item)):
                self._aside.put(owner, [(item, weight, waiter)])
                continue
            batch.append((item, weight, waiter))
            room -= weight
        return batch

    async def _one_by_one(self, batch: Sequence[Waiting[Item, Answer]], *, is_aside: bool = False) -> None:
        for each in batch:
            if each[2].done():
                continue
            try:
                answers = await self._run([each[0]])
            except RowLockedError as failure:
                if is_aside:
                    _fail([each], failure)
                else:
                    self._step_aside([each])
            except Exception as failure:  # noqa: BLE001 - passed on to the waiting request
                if _is_outage(failure):
                    _fail(batch, failure)
                    return
                _fail([each], failure)
            else:
                _tell([each], answers)


def _tell(batch: Sequence[Waiting[Item, Answer]], answers: Sequence[Answer]) -> None:
    for (*_, waiter), answer in zip(batch, answers, strict=True):
        if not waiter.done():
            waiter.set_result(answer)


def _is_outage(failure: Exception) -> bool:
    """Whether every item would fail alike; a conflict concerns only the items that met another transaction."""
    return isinstance(failure, UnavailableError) and not isinstance(failure, DatabaseConflictError)


def _fail(batch: Sequence[Waiting[Item, Answer]], failure: Exception) -> None:
    for *_, waiter in batch:
        if not waiter.done():
            waiter.set_exception(failure)
