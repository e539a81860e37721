"""Beside the lanes: items whose owner's rows somebody has locked wait here, each owner's alone."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from app.errors import OverloadedError, RowLockedError, ShuttingDownError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
# An item, how much of a batch's size it takes, and its answer.
Waiting = tuple[Item, int, asyncio.Future[Answer]]

# Batches that run here at the same time: each may hold a connection for as long as a statement waits for a lock.
AT_ONCE: Final = 2
# How often an owner's items are tried before they are answered that a row is locked.
TRIES: Final = 3


class Aside(Generic[Item, Answer]):
    """Runs the items of each owner apart; ``stuck`` are the owners of which a row was locked at the last try.

    ``run`` answers a batch, or raises RowLockedError and answers none of it. What waits of one owner takes at most
    ``max_weight``, or is a single item.
    """

    def __init__(self, run: Callable[[Sequence[Waiting[Item, Answer]]], Awaitable[None]], *, max_weight: int) -> None:
        self._run = run
        self._max_weight = max_weight
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._waiting: dict[Hashable, deque[Waiting[Item, Answer]]] = {}
        self._weights: Counter[Hashable] = Counter()
        self.stuck: set[Hashable] = set()
        self.running: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no owner's items belong here."""
        return not self.stuck and not self._waiting

    def takes(self, owner: Hashable) -> bool:
        """Whether an owner's items belong here: a row of its was locked, or some of them are being tried."""
        return owner in self.stuck or owner in self._waiting

    def put(self, owner: Hashable, items: Iterable[Waiting[Item, Answer]]) -> None:
        """Let an owner's items wait here; those that are too many fail with OverloadedError."""
        if (waiting := self._waiting.get(owner)) is None:
            waiting = self._waiting[owner] = deque()
            self.running.add(asyncio.create_task(self._drive(owner, waiting)))
        for item, weight, waiter in items:
            if waiter.done():
                continue
            if self._weights[owner] and self._weights[owner] + weight > self._max_weight:
                waiter.set_exception(OverloadedError())
                continue
            waiting.append((item, weight, waiter))
            self._weights[owner] += weight
            waiter.add_done_callback(partial(self._leave, owner, weight))

    def _leave(self, owner: Hashable, weight: int, _: asyncio.Future[Answer]) -> None:
        self._weights[owner] -= weight
        if not self._weights[owner]:
            del self._weights[owner]

    async def _drive(self, owner: Hashable, waiting: deque[Waiting[Item, Answer]]) -> None:
        tries = 0
        batch: list[Waiting[Item, Answer]] = []
        try:
            while batch or waiting:
                async with self._gate:
                    batch = [each for each in (*batch, *waiting) if not each[2].done()]
                    waiting.clear()
                    try:
                        if batch:
                            await self._run(batch)
                    except RowLockedError as locked:
                        self.stuck.add(owner)
                        tries += 1
                        if tries % TRIES:
                            continue
                        _fail(batch, locked)
                    else:
                        self.stuck.discard(owner)
                    batch = []
        finally:
            # Not in a callback of the task: what is put in between would wait for a task that has ended.
            del self._waiting[owner]
            if (task := asyncio.current_task()) is not None:
                self.running.discard(task)
            _fail((*batch, *waiting), ShuttingDownError())


def _fail(batch: Iterable[Waiting[Item, Answer]], failure: Exception) -> None:
    for *_, waiter in batch:
        if not waiter.done():
            waiter.set_exception(failure)
