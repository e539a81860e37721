"""Aside: who waits for a locked row is tried alone, and the others' batches go on without it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.database.coalesce import Coalescer
from app.errors import OverloadedError, RowLockedError

# Items belong to an owner each hundred; a row of this one is locked while the desk says so.
LOCKED = 3


class Desk:
    """Answers batches with ten times each item, and notes them."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.locked = True
        # While this is not set, whoever asks for the locked row waits for it.
        self.timed_out = asyncio.Event()
        self.timed_out.set()

    async def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await asyncio.sleep(0)
        if self.locked and any(item // 100 == LOCKED for item in items):
            await self.timed_out.wait()
            raise RowLockedError
        return [item * 10 for item in items]

    def queue(self) -> Coalescer[int, int]:
        return Coalescer(self.run, lanes=1, batch_size=100, queue_size=1000, owner=lambda item: item // 100)


async def test_who_waits_for_a_locked_row_keeps_no_other_owner_waiting() -> None:
    desk = Desk()
    queue = desk.queue()

    first = await asyncio.gather(*(queue.ask(item) for item in (100, 300, 200, 301)), return_exceptions=True)
    tried = [batch for batch in desk.batches if 300 in batch]
    desk.batches.clear()
    # The owner is known now: its next items do not come into the others' batch.
    asked = [asyncio.create_task(queue.ask(item)) for item in (101, 302, 201)]
    others = await asyncio.gather(asked[0], asked[2])
    await asyncio.wait([asked[1]])
    seen = list(desk.batches)
    desk.locked = False
    late = await queue.ask(304)
    desk.batches.clear()
    together = await asyncio.gather(*(queue.ask(item) for item in (102, 303)))

    assert (first[0], first[2], others, late, together) == (1000, 2000, [1010, 2010], 3040, [1020, 3030])
    assert [type(first[1]), type(first[3])] == [RowLockedError, RowLockedError]
    assert tried == [[100, 300, 200, 301], *[[300, 301]] * 3]
    assert [101, 201] in seen
    assert not [batch for batch in seen if 302 in batch and len(batch) > 1]
    # Once it was let through, it shares batches again.
    assert desk.batches == [[102, 303]]
    await queue.drain()


async def test_only_the_first_batch_waits_for_a_locked_row() -> None:
    desk = Desk()
    desk.timed_out.clear()
    queue = desk.queue()
    first = asyncio.gather(*(queue.ask(item) for item in (100, 300)), return_exceptions=True)
    await asyncio.sleep(0.01)
    # These wait for the lane.
    waiting = [asyncio.create_task(queue.ask(item)) for item in (301, 101)]
    await asyncio.sleep(0.01)
    desk.timed_out.set()
    await asyncio.sleep(0)
    desk.timed_out.clear()
    assert await asyncio.wait_for(waiting[1], 10) == 1010
    # The owner is being tried, for the first time yet.
    late = asyncio.create_task(queue.ask(302))
    assert [await queue.ask(item) for item in (102, 201)] == [1020, 2010]

    assert desk.batches[0] == [100, 300]
    assert not [batch for batch in desk.batches[1:] if {item // 100 for item in batch} > {LOCKED}]
    desk.locked = False
    desk.timed_out.set()
    assert (await first)[0] == 1000
    assert await late == 3020
    await queue.drain()


async def test_what_waits_for_a_locked_row_is_answered_before_the_queue_is_drained() -> None:
    desk = Desk()
    queue = desk.queue()
    asked = [asyncio.create_task(queue.ask(item)) for item in (300, 100)]
    await asyncio.sleep(0)
    await queue.drain()

    assert isinstance(asked[0].exception(), RowLockedError)
    assert asked[1].result() == 1000


async def test_what_waits_of_an_owner_is_bounded_by_its_weight_and_not_by_its_number() -> None:
    desk = Desk()
    queue = desk.queue()
    await asyncio.gather(queue.ask(300), return_exceptions=True)
    desk.timed_out.clear()

    # A tenth of the queue's thousand may wait, whether it is tried at this moment or not.
    asked = [asyncio.create_task(queue.ask(item, 40)) for item in (301, 302)]
    await asyncio.sleep(0.01)
    asked.append(asyncio.create_task(queue.ask(303, 40)))
    await asyncio.wait([asked[2]], timeout=5)
    refused = asked[2].done() and asked[2].exception()
    desk.locked = False
    desk.timed_out.set()

    assert isinstance(refused, OverloadedError)
    assert await asyncio.gather(*asked[:2]) == [3010, 3020]
    assert await asyncio.gather(*(queue.ask(item, 40) for item in (304, 305))) == [3040, 3050]
