"""Many calls at once under a cap: exactly as many leave as it pays for, and worst cases starve nobody."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from support.clocks import MovableClock
from support.model_calls import MAX_TOKENS, OUTPUT, USUAL, Calling
from support.statements import counted_statements

from app.errors import BudgetExceededError
from app.services.llm.calls import ModelAnswer
from app.services.llm.refusals import usd
from app.services.llm.settlement import close_abandoned_calls
from sql.statements import workers

PROMPT = "Say hello."


async def worst_case(calling: Calling) -> int:
    """What one call may cost at most, as the ledger reserves it."""
    await calling.ask(PROMPT)
    return (await calling.worst_cases("openai"))[0]


async def test_as_many_leave_as_the_budget_pays_for(waiting_long: Calling) -> None:
    calling = await Calling.prepared(waiting_long.ctx, waiting_long.fake, "openai")
    each = await worst_case(calling)
    owner = await calling.project(monthly_budget_override=20 * each + each - 1)
    # It does not say what was used, so each counts with all that it has reserved.
    await calling.fake.standing(calling.models["openai"], usage=False, delay=0.05)
    answers = await asyncio.gather(*(calling.ask(PROMPT, owner) for _ in range(200)), return_exceptions=True)
    assert Counter(type(answer) for answer in answers) == {ModelAnswer: 20, BudgetExceededError: 180}
    assert len(await calling.fake.arrived(calling.models["openai"])) == 1 + 20
    assert {(0, 20 * each), (0, USUAL + 20 * each)} == await calling.balances()
    await calling.proved()


async def test_worst_cases_starve_nobody(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "openai")
    each = await worst_case(calling)
    cap = 8 * each
    owner = await calling.project(monthly_budget_override=cap)
    cost = cap // 10 // 40
    await calling.fake.standing(calling.models["openai"], input=cost // 1000, output=0, delay=0.02)
    answers = await asyncio.gather(*(calling.ask(PROMPT, owner) for _ in range(40)))
    assert [answer.text for answer in answers] == ["Hello there."] * 40
    assert sum(answer.cost for answer in answers) <= cap // 10
    await calling.proved()


async def test_a_refusal_says_what_is_spent_what_is_held_and_what_frees_it(short_of_patience: Calling) -> None:
    calling = await Calling.prepared(short_of_patience.ctx, short_of_patience.fake, "openai")
    each = await worst_case(calling)
    owner = await calling.project(monthly_budget_override=each + USUAL)
    await calling.fake.queue(calling.models["openai"], {"delay": 0.5})
    running = asyncio.create_task(calling.ask(PROMPT, owner))
    await calling.until_it_holds()
    with pytest.raises(BudgetExceededError) as held:
        await calling.ask(PROMPT, owner)
    assert held.value.message == (
        f"There is no room for {usd(each)} USD in the monthly budget of project {owner.project_id}:"
        f" of {usd(each + USUAL)} USD 0 are spent, {usd(each)} only reserved."
    )
    assert held.value.remedy == (
        "Try again when the calls that hold it have ended, or raise the budget of the project."
    )
    await running
    # It fits exactly.
    await calling.ask(PROMPT, owner)
    with pytest.raises(BudgetExceededError, match=r"Wait for the next month, which begins on .*-01, or raise"):
        await calling.ask(PROMPT, owner)
    small = await calling.project(monthly_budget_override=each - 1)
    with pytest.raises(BudgetExceededError, match="No call of that size fits this budget: ask for fewer tokens"):
        await calling.ask(PROMPT, small)
    await calling.proved()


async def test_a_longer_prompt_and_a_longer_answer_reserve_more(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "anthropic")
    await calling.ask("x")
    await calling.ask("é" * 500)
    first, second = await calling.reservations()
    assert second.amount - first.amount == (2 * 500 - 1) * 1000
    assert first.amount > MAX_TOKENS * OUTPUT
    (row, _) = await calling.rows()
    assert row.project_id is None


async def test_a_caller_that_is_cancelled_while_it_waits_holds_nothing(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "openai")
    each = await worst_case(calling)
    owner = await calling.project(monthly_budget_override=each)
    await calling.fake.queue(calling.models["openai"], {"delay": 0.7})
    running = asyncio.create_task(calling.ask(PROMPT, owner))
    await calling.until_it_holds()
    waiting = [asyncio.create_task(calling.ask(PROMPT, owner)) for _ in range(3)]
    await asyncio.sleep(0.2)
    for task in waiting:
        task.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waiting, return_exceptions=True)
    )
    await running
    await calling.ctx.runtime.drain()
    assert len(await calling.fake.arrived(calling.models["openai"])) == 2
    await calling.proved()


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.3])
async def test_a_cancelled_call_is_settled_whenever_it_is_cancelled(calling: Calling, seconds: float) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "gemini")
    await calling.ask(PROMPT)
    await calling.fake.standing(calling.models["gemini"], delay=0.2)
    tasks = [asyncio.create_task(calling.ask(PROMPT)) for _ in range(5)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await calling.ctx.runtime.drain()
    arrived = len(await calling.fake.arrived(calling.models["gemini"]))
    held = await calling.reservations()
    # What has arrived is paid; what has not is at most a request that was cut off on its way.
    assert arrived <= len([each for each in held if each.used]) <= len(held)
    assert {each.state for each in held[1:]} <= {"released", "unconfirmed", "settled"}
    await calling.proved()


async def test_a_call_costs_so_many_statements(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "openai")
    owner = await calling.project()
    await calling.ask(PROMPT, owner)
    with counted_statements(calling.ctx.runtime.db) as statements:
        await calling.ask(PROMPT, owner)
    # Settings with prices; reserving; settling. The accounts are known since the first call. Where a statement changes
    # one table, three reserve and five settle.
    assert len(statements) == (3 if calling.ctx.runtime.db.chains_changes else 9)


async def test_a_holder_that_is_slow_is_not_counted_twice(
    calling: Calling, leader: Calling, clock: MovableClock
) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "anthropic")
    await calling.fake.queue(calling.models["anthropic"], {"delay": 0.8})
    slow = asyncio.create_task(calling.ask(PROMPT))
    await calling.until_it_holds()
    clock.move(hours=1)
    assert await close_abandoned_calls(leader.ctx) == {"unconfirmed": 1}
    answer = await slow
    (worst,) = await calling.worst_cases("anthropic")
    assert (answer.text, answer.cost) == ("Hello there.", worst)
    assert [(row.success, row.cost) for row in await calling.rows()] == [(False, worst)]
    assert await calling.balances() == {(0, worst)}
    await calling.proved()


async def test_a_holder_without_heartbeats_is_dead_long_before_its_deadline(
    calling: Calling, leader: Calling, clock: MovableClock
) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "openai")
    runtime = calling.ctx.runtime
    runtime.writes_heartbeats = True
    await calling.fake.queue(calling.models["openai"], {"delay": 0.9})
    running = asyncio.create_task(calling.ask(PROMPT))
    await calling.until_it_holds()
    clock.move(seconds=25)
    beat = {"host": "h", "started_at": clock.now(), "beat_at": clock.now()}
    async with calling.ctx.write() as conn:
        await conn.affected(workers.record_worker_heartbeat, executor_id=runtime.executor_id, **beat)
    assert await close_abandoned_calls(leader.ctx) == {"unconfirmed": 0}
    clock.move(seconds=25)
    assert await close_abandoned_calls(leader.ctx) == {"unconfirmed": 1}
    await running
    await calling.proved()
