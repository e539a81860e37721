"""Coalescing: waiting requests share a run, nobody is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.database.coalesce import Coalescer
from app.errors import (
    DatabaseConflictError,
    DatabaseUnavailableError,
    OverloadedError,
    ShuttingDownError,
    UnavailableError,
)

POISON = -1


class Desk:
    """Answers batches with ten times each item, notes them, and waits at its gate while it is shut."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.down = False

    async def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.open.wait()
        if self.down:
            raise DatabaseUnavailableError
        if POISON in items:
            raise ValueError("poison")
        return [item * 10 for item in items]

    def queue(
        self, *, lanes: int = 1, batch_size: int = 100, queue_size: int = 1000, observe: list[int] | None = None
    ) -> Coalescer[int, int]:
        return Coalescer(
            self.run,
            lanes=lanes,
            batch_size=batch_size,
            queue_size=queue_size,
            observe=(observe if observe is not None else []).append,
        )


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def behind_a_first(desk: Desk, queue: Coalescer[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Ask for 0 and, while that is in flight at a shut gate, for the items."""
    desk.open.clear()
    first = asyncio.create_task(queue.ask(0))
    await settle()
    waiting = [asyncio.create_task(queue.ask(item)) for item in items]
    await settle()
    return [first, *waiting]


async def test_whatever_arrives_during_a_batch_forms_the_next_one() -> None:
    desk = Desk()
    sizes: list[int] = []
    tasks = await behind_a_first(desk, desk.queue(observe=sizes), 1, 2, 3)

    desk.open.set()

    assert await asyncio.gather(*tasks) == [0, 10, 20, 30]
    assert desk.batches == [[0], [1, 2, 3]]
    assert sizes == [1, 3]


async def test_a_single_request_waits_for_nobody() -> None:
    desk = Desk()

    assert await desk.queue().ask(4) == 40
    assert desk.batches == [[4]]


async def test_lanes_run_side_by_side() -> None:
    desk = Desk()
    desk.open.clear()
    queue = desk.queue(lanes=2)
    tasks = []
    for item in (1, 2, 3, 4):
        tasks.append(asyncio.create_task(queue.ask(item)))
        await settle()

    assert desk.batches == [[1], [2]]
    desk.open.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert desk.batches == [[1], [2], [3, 4]]


async def test_who_asks_in_the_very_turn_in_which_a_lane_ends_is_answered() -> None:
    desk = Desk()
    queue = desk.queue()

    for turns in range(8):
        first = asyncio.create_task(queue.ask(1))
        for _ in range(turns):
            await asyncio.sleep(0)
        second = asyncio.create_task(queue.ask(2))
        assert await asyncio.wait_for(asyncio.gather(first, second), timeout=5) == [10, 20]


async def test_one_poisoned_item_fails_alone() -> None:
    desk = Desk()
    tasks = await behind_a_first(desk, desk.queue(), 1, POISON, 3)

    desk.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(answers[2], ValueError)
    assert answers[:2] + answers[3:] == [0, 10, 30]
    assert desk.batches == [[0], [1, POISON, 3], [1], [POISON], [3]]


async def test_after_poison_the_queue_goes_on() -> None:
    desk = Desk()
    queue = desk.queue()
    with pytest.raises(ValueError, match="poison"):
        await queue.ask(POISON)

    assert await queue.ask(5) == 50


async def test_an_outage_fails_its_batch_at_once() -> None:
    desk = Desk()
    tasks = await behind_a_first(desk, desk.queue(), 1, 2, 3)
    desk.down = True

    desk.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(answer, UnavailableError) for answer in answers)
    assert desk.batches == [[0], [1, 2, 3]]


async def test_a_batch_that_met_another_change_is_tried_one_by_one() -> None:
    batches: list[list[int]] = []

    async def run(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await asyncio.sleep(0)
        if len(items) > 1 or items == [2]:
            raise DatabaseConflictError
        return list(items)

    queue = Coalescer(run, lanes=1, batch_size=100, queue_size=100)
    answers = await asyncio.gather(*(queue.ask(item) for item in (1, 2, 3)), return_exceptions=True)

    assert (answers[0], type(answers[1]), answers[2]) == (1, DatabaseConflictError, 3)
    assert batches == [[1, 2, 3], [1], [2], [3]]


async def test_an_outage_between_single_tries_fails_the_rest_at_once() -> None:
    batches: list[list[int]] = []

    async def run(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await asyncio.sleep(0)
        if len(items) > 1:
            raise ValueError("poison")
        if items == [2]:
            raise DatabaseUnavailableError
        return list(items)

    queue = Coalescer(run, lanes=1, batch_size=100, queue_size=100)
    answers = await asyncio.gather(*(queue.ask(item) for item in (1, 2, 3, 4)), return_exceptions=True)

    assert answers[0] == 1
    assert [type(answer) for answer in answers[1:]] == [DatabaseUnavailableError] * 3
    assert batches == [[1, 2, 3, 4], [1], [2]]


async def test_who_gave_up_before_the_batch_is_not_run() -> None:
    desk = Desk()
    tasks = await behind_a_first(desk, desk.queue(), 1, 2, 3)

    tasks[2].cancel()
    desk.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(answers[2], asyncio.CancelledError)
    assert desk.batches == [[0], [1, 3]]
    assert answers[3] == 30


async def test_who_gives_up_during_the_batch_takes_nobody_along_and_runs_once() -> None:
    desk = Desk()
    tasks = await behind_a_first(desk, desk.queue(lanes=2), 1, 2, 3)

    tasks[0].cancel()
    tasks[2].cancel()
    await settle()
    desk.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [answer for answer in answers if not isinstance(answer, asyncio.CancelledError)] == [10, 30]
    assert Counter(item for batch in desk.batches for item in batch) == {0: 1, 1: 1, 2: 1, 3: 1}


async def test_when_everybody_gave_up_nothing_runs_and_the_queue_goes_on() -> None:
    desk = Desk()
    queue = desk.queue()
    tasks = await behind_a_first(desk, queue, 1, 2)
    for task in tasks:
        task.cancel()
    desk.open.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settle()

    assert await queue.ask(7) == 70
    assert desk.batches == [[0], [7]]


async def test_a_full_queue_refuses() -> None:
    desk = Desk()
    queue = desk.queue(queue_size=3)
    tasks = await behind_a_first(desk, queue, 1, 2, 3)

    with pytest.raises(OverloadedError) as refused:
        await queue.ask(4)

    assert refused.value.values == {"retry_after": 1}
    desk.open.set()
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30]
    assert await queue.ask(4) == 40


async def test_weight_counts_towards_the_queue_and_the_batch() -> None:
    desk = Desk()
    queue = desk.queue(batch_size=10, queue_size=25)
    tasks = await behind_a_first(desk, queue)
    tasks += [asyncio.create_task(queue.ask(item, weight)) for item, weight in ((1, 6), (2, 6), (3, 4), (4, 9))]
    await settle()

    with pytest.raises(OverloadedError):
        await queue.ask(5, 1)

    desk.open.set()
    await asyncio.gather(*tasks)
    assert desk.batches == [[0], [1], [2, 3], [4]]


async def test_what_is_heavier_than_the_whole_queue_is_taken_when_nothing_waits() -> None:
    desk = Desk()

    assert await desk.queue(batch_size=10, queue_size=20).ask(1, 1000) == 10


async def test_draining_answers_everybody_and_takes_nothing_new() -> None:
    desk = Desk()
    queue = desk.queue(batch_size=2)
    tasks = await behind_a_first(desk, queue, 1, 2, 3)
    draining = asyncio.create_task(queue.drain())
    await settle()

    with pytest.raises(ShuttingDownError):
        await queue.ask(4)

    assert not draining.done()
    desk.open.set()
    await draining
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30]


async def test_draining_an_idle_queue_ends_at_once() -> None:
    queue = Desk().queue()
    await queue.ask(1)

    await asyncio.wait_for(queue.drain(), timeout=5)


async def test_a_lane_that_is_ended_from_outside_leaves_nobody_waiting() -> None:
    desk = Desk()
    queue = desk.queue()
    tasks = await behind_a_first(desk, queue, 1)

    for lane in list(queue._running):
        lane.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(answer) for answer in answers] == [ShuttingDownError] * 2


def is_right(answer: object, index: int, *, was_run: bool, poisoned: bool) -> bool:
    """Whether this is what somebody who has waited to the end may be told."""
    if isinstance(answer, ValueError):
        return poisoned and not was_run
    return isinstance(answer, OverloadedError) or (answer == index * 10 and was_run)


PLANS = st.lists(
    st.tuples(
        st.integers(0, 3),  # turns of the loop before it asks
        st.integers(1, 5),  # its weight
        st.booleans(),  # is it poison?
        st.none() | st.integers(0, 4),  # turns until it gives up
    ),
    max_size=30,
)


@given(plans=PLANS, lanes=st.integers(1, 3), batch_size=st.integers(1, 8), queue_size=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_everybody_gets_their_own_answer_whatever_happens(
    plans: list[tuple[int, int, bool, int | None]], lanes: int, batch_size: int, queue_size: int
) -> None:
    done: Counter[int] = Counter()

    async def run(items: Sequence[int]) -> list[int]:
        await asyncio.sleep(0)
        if any(plans[item][2] for item in items):
            raise ValueError("poison")
        done.update(items)
        return [item * 10 for item in items]

    async def main() -> list[object]:
        queue = Coalescer(run, lanes=lanes, batch_size=batch_size, queue_size=queue_size)

        async def one(index: int) -> int:
            pause, weight, _, _ = plans[index]
            for _ in range(pause):
                await asyncio.sleep(0)
            return await queue.ask(index, weight)

        tasks = [asyncio.create_task(one(index)) for index in range(len(plans))]
        for turn in range(5):
            await asyncio.sleep(0)
            for task, plan in zip(tasks, plans, strict=True):
                if plan[3] == turn:
                    task.cancel()
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=20)
        await asyncio.wait_for(queue.drain(), timeout=20)
        return answers

    answers = asyncio.run(main())

    assert max(done.values(), default=1) == 1
    wrong = [
        (index, answer)
        for index, answer in enumerate(answers)
        if not is_right(answer, index, was_run=done[index] == 1, poisoned=plans[index][2])
    ]
    assert all(isinstance(answer, asyncio.CancelledError) and plans[index][3] is not None for index, answer in wrong)
