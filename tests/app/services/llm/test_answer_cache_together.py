"""The same question at the same moment, in one process and in two: one of them asks, the others wait for it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from sqlalchemy import update
from support.clocks import MovableClock
from support.model_calls import USUAL, Calling
from support.statements import counted_statements

from app.errors import ProvidersFailedError
from app.services.ledger.accounts import Owner
from app.services.llm import answer_cache
from app.services.llm.answer_cache import Hold, Question, Wanted, open_question
from sql.tables import model_answers

ANY = Wanted(0, needs_score=False)


async def test_who_asks_at_the_same_time_waits_for_one_call(calling: Calling, leader: Calling) -> None:
    calling = await calling.keeping("anthropic")
    other = calling.elsewhere(leader.ctx)
    await calling.fake.standing(calling.models["anthropic"], delay=0.4)
    answers = await asyncio.gather(*(each.ask() for each in (calling, other) for _ in range(10)))
    assert await calling.arrivals("anthropic") == 1
    assert Counter((answer.text, answer.is_cached, answer.cost) for answer in answers) == {
        ("Hello there.", False, USUAL): 1,
        ("Hello there.", True, 0): 19,
    }
    assert Counter(row.cached for row in await calling.rows()) == {False: 1, True: 19}
    assert await calling.balances() == {(0, USUAL)}
    await calling.proved()


async def test_in_one_process_those_who_wait_ask_the_database_nothing(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    await calling.ask("first")
    await calling.fake.standing(calling.models["openai"], delay=0.6)
    with counted_statements(calling.ctx.runtime.db) as statements:
        await asyncio.gather(*(calling.ask() for _ in range(10)))
    # A look, the hold and the answer; and nine who each look once.
    assert len([each for each in statements if "model_answers" in each]) == 3 + 9


async def test_an_answer_that_takes_long_is_waited_for(
    calling: Calling, leader: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_cache, "HOLD_SECONDS", 0.3)
    calling = await calling.keeping("openai")
    await calling.fake.standing(calling.models["openai"], delay=0.9)
    asking = asyncio.create_task(calling.ask())
    await calling.until_asked()
    answers = await asyncio.gather(asking, calling.elsewhere(leader.ctx).ask())
    assert [answer.is_cached for answer in answers] == [False, True]
    assert await calling.arrivals("openai") == 1


async def held_by_a_dead(calling: Calling) -> Hold:
    """The question of ``calling.ask()``, held by a process that does nothing more."""
    asking = asyncio.create_task(calling.ask())
    await calling.until_asked()
    (row,) = await calling.kept()
    await asking
    question = Question(row.key_hash, "openai", calling.models["openai"])
    async with calling.ctx.write() as conn:
        await conn.affected(update(model_answers).values(text=None, answered_at=None))
    hold = await open_question(calling.ctx, Owner(), lambda: question, ANY)
    assert isinstance(hold, Hold)
    return hold


async def test_after_the_deadline_of_a_dead_process_another_one_asks(
    calling: Calling, leader: Calling, clock: MovableClock
) -> None:
    calling = await calling.keeping("openai")
    dead = await held_by_a_dead(calling)
    before = await calling.arrivals("openai")
    waiting = [asyncio.create_task(calling.elsewhere(leader.ctx).ask()) for _ in range(3)]
    await asyncio.sleep(3 * answer_cache.POLL_SECONDS)
    assert await calling.arrivals("openai") == before
    clock.move(seconds=answer_cache.HOLD_SECONDS + 1)
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.is_cached for answer in answers) == [False, True, True]
    assert await calling.arrivals("openai") == before + 1
    # It was only slow, and is late.
    async with dead.held():
        dead.result = answer_cache.Stored("Too late.")
    assert [row.text for row in await calling.kept()] == ["Hello there."]
    await calling.proved()


async def test_nobody_waits_for_ever(short_of_patience: Calling, leader: Calling) -> None:
    calling = await short_of_patience.keeping("openai")
    await held_by_a_dead(calling.elsewhere(leader.ctx))
    (before,) = await calling.kept()
    answer = await calling.ask()
    assert (answer.text, answer.is_cached) == ("Hello there.", False)
    # The question is still that of whoever holds it.
    assert await calling.kept() == [before]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["one process", "two processes"])
async def test_who_fails_lets_the_next_one_ask(calling: Calling, leader: Calling, elsewhere: bool) -> None:
    calling = await calling.keeping("openai")
    await calling.fake.queue(calling.models["openai"], {"status": 400, "delay": 0.3}, {"delay": 0.1})
    first = asyncio.create_task(calling.ask())
    await calling.until_asked()
    others = calling.elsewhere(leader.ctx) if elsewhere else calling
    waiting = [asyncio.create_task(others.ask()) for _ in range(3)]
    with pytest.raises(ProvidersFailedError):
        await first
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.is_cached for answer in answers) == [False, True, True]
    assert await calling.arrivals("openai") == 2
    await calling.proved()


async def test_who_is_cancelled_lets_the_next_one_ask(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    await calling.fake.queue(calling.models["openai"], {"delay": 0.9})
    first = asyncio.create_task(calling.ask())
    await calling.until_it_holds()
    waiting = asyncio.create_task(calling.ask())
    gives_up = asyncio.create_task(calling.ask())
    await asyncio.sleep(0.05)
    gives_up.cancel()
    first.cancel()
    assert not (await waiting).is_cached
    assert await calling.arrivals("openai") == 2
    for task in (first, gives_up):
        with pytest.raises(asyncio.CancelledError):
            await task
    await calling.proved()


async def test_one_of_many_processes_gets_the_hold(calling: Calling, leader: Calling) -> None:
    question = Question(b"q", "openai", "gpt-4o")
    taken = await asyncio.gather(
        *(
            answer_cache._take(process.ctx, Owner(), answer_cache._own(Owner(), question), ANY)
            for process in (calling, leader)
            for _ in range(10)
        )
    )
    assert sum(each is not None for each in taken) == 1


async def test_an_answer_that_came_since_the_look_is_not_asked_for_again(calling: Calling) -> None:
    question = Question(b"q", "openai", "gpt-4o")
    hold = await open_question(calling.ctx, Owner(), lambda: question, ANY)
    assert isinstance(hold, Hold)
    async with hold.held():
        hold.result = answer_cache.Stored("first")
    assert await answer_cache._take(calling.ctx, Owner(), answer_cache._own(Owner(), question), ANY) is None
    await answer_cache.keep_under(calling.ctx, Owner(), question, answer_cache.Stored("second"), ANY)
    assert [row.text for row in await calling.kept()] == ["first"]
