"""Cross-validation: what one provider answers the next one judges, paid apart, and no answer is lost by it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import select
from support.model_calls import INPUT, OUTPUT, USUAL, Calling

from app.services.llm.cross_validation import NOBODY, UNREADABLE
from app.services.llm.prices import remove_price
from app.services.llm.provider_clients import _clients
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import update_system_settings
from sql.tables import llm_calls


async def judging(calling: Calling, *order: Provider, **settings: Any) -> Calling:
    """The same process, in an installation that has answers judged, which must have 80 of 100."""
    on = {"cross_validation_enabled": True, "min_quality_score": 80}
    return await Calling.prepared(calling.ctx, calling.fake, *order, **{**on, **settings})


def scored(score: object, reason: object = "It greets.") -> dict[str, Any]:
    """An answer of the judge."""
    return {"text": json.dumps({"score": score, "reason": reason}), "input": 20, "output": 3}


JUDGED = 20 * INPUT + 3 * OUTPUT


@pytest.mark.parametrize(("score", "verdict"), [(100, "accepted"), (80, "accepted"), (79, "rejected"), (0, "rejected")])
async def test_the_next_provider_judges(calling: Calling, score: int, verdict: str) -> None:
    calling = await judging(calling, "openai", "gemini", system_prompt="Be kind.")
    owner = await calling.project()
    await calling.fake.queue(calling.models["gemini"], scored(score))
    pieces: list[str] = []
    answer = await calling.ask("Say hello.", owner, on_text=pieces.append)
    assert answer.judgement is not None
    assert answer.judgement[:5] == (verdict, "It greets.", score, "gemini", calling.models["gemini"])
    # A rejected answer comes all the same: whoever asked decides what to do with it.
    assert (answer.text.strip(), answer.provider, "".join(pieces)) == ("Hello there.", "openai", answer.text)
    assert (answer.judgement.cost, answer.cost) == (JUDGED, USUAL + JUDGED)
    assert [len(attempts) for attempts in (answer.attempts, answer.judgement.attempts)] == [1, 1]
    (request,) = await calling.fake.arrived(calling.models["gemini"])
    (content,) = request["body"]["contents"]
    material = json.loads(content["parts"][0]["text"])
    assert material == {"instructions": "Be kind.", "question": "Say hello.", "answer": answer.text}
    assert request["body"]["generationConfig"]["temperature"] == 0
    assert [(row.provider, row.cost, row.project_id, row.agent_type) for row in await calling.rows()] == [
        ("openai", USUAL, owner.project_id, "coder"),
        ("gemini", JUDGED, owner.project_id, "coder"),
    ]
    async with calling.ctx.read() as conn:
        told = await conn.rows(select(llm_calls.c.task_description).order_by(llm_calls.c.id))
    assert [row.task_description for row in told] == ["a test", "judges an answer for: a test"]
    assert [held.used for held in await calling.reservations()] == [USUAL, JUDGED]
    assert await calling.balances() == {(0, USUAL + JUDGED)}
    await calling.proved()


async def test_nobody_judges_where_that_is_switched_off(calling: Calling) -> None:
    calling = await judging(calling, "openai", "gemini", cross_validation_enabled=False)
    assert (await calling.ask()).judgement is None
    assert await calling.fake.arrived(calling.models["gemini"]) == []


@pytest.mark.parametrize("text", ["```json\n{}\n```", "I would say: {} Good luck."])
async def test_a_score_is_read_out_of_what_stands_around_it(calling: Calling, text: str) -> None:
    calling = await judging(calling, "openai", "anthropic")
    await calling.fake.queue(calling.models["anthropic"], {"text": text.replace("{}", scored(91)["text"])})
    answer = await calling.ask()
    assert answer.judgement is not None
    assert (answer.judgement.verdict, answer.judgement.score) == ("accepted", 91)


@pytest.mark.parametrize(
    ("first_fails", "answered", "judge"),
    [(0, "openai", "gemini"), (1, "gemini", "anthropic"), (2, "anthropic", "openai")],
)
async def test_who_has_answered_never_judges(
    calling: Calling, first_fails: int, answered: Provider, judge: Provider
) -> None:
    calling = await judging(calling, "openai", "gemini", "anthropic")
    for provider in ("openai", "gemini")[:first_fails]:
        await calling.fake.queue(calling.models[provider], {"status": 400})
    await calling.fake.queue(calling.models[answered], {})
    await calling.fake.queue(calling.models[judge], scored(99))
    answer = await calling.ask()
    assert answer.judgement is not None
    assert (answer.provider, answer.judgement.provider, answer.judgement.verdict) == (answered, judge, "accepted")
    await calling.proved()


async def test_without_a_second_provider_the_answer_says_that_nobody_has_judged_it(calling: Calling) -> None:
    calling = await judging(calling, "openai", cache_enabled=True)
    answers = [await calling.ask() for _ in range(2)]
    for answer in answers:
        assert (answer.text, answer.judgement and answer.judgement[:3]) == ("Hello there.", ("unjudged", NOBODY, None))
    assert [answer.is_cached for answer in answers] == [False, True]
    await calling.proved()


async def test_who_has_no_price_does_not_judge(calling: Calling) -> None:
    calling = await judging(calling, "openai", "gemini", "anthropic")
    await remove_price(calling.ctx, "gemini", calling.models["gemini"])
    await calling.fake.queue(calling.models["anthropic"], scored(99))
    answer = await calling.ask()
    assert answer.judgement is not None
    assert answer.judgement.provider == "anthropic"


FAILURES: dict[str, dict[str, Any]] = {
    "down": {"status": 500},
    "refuses": {"status": 400},
    "breaks off": {"cut": 20},
    "chats": {"text": "Hello there."},
    "no score": {"text": '{"reason": "good"}'},
    "no reason": {"text": '{"score": 99, "reason": ""}'},
    "out of bounds": scored(101),
    "no number": scored("much"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_judge_that_fails_costs_no_answer(calling: Calling, failure: str) -> None:
    calling = await judging(calling, "openai", "gemini", cache_enabled=True)
    await calling.fake.queue(calling.models["gemini"], FAILURES[failure], scored(85, "Right."))
    first = await calling.ask()
    assert first.judgement is not None
    assert (first.text, first.judgement.verdict, first.judgement.score) == ("Hello there.", "unjudged", None)
    is_answered = "status" not in FAILURES[failure] and "cut" not in FAILURES[failure]
    assert first.judgement.reason == UNREADABLE if is_answered else calling.models["gemini"] in first.judgement.reason
    (attempt,) = first.judgement.attempts
    assert first.cost == USUAL + attempt.cost
    # It is kept, and the next one to ask has it judged; nobody pays for the answer again.
    _clients[calling.ctx.runtime].guard("gemini").warm()
    second, third = await calling.ask(), await calling.ask()
    for answer, cost in ((second, JUDGED), (third, 0)):
        assert answer.judgement is not None
        assert (answer.is_cached, answer.cost, answer.judgement[:3]) == (True, cost, ("accepted", "Right.", 85))
    assert len(await calling.fake.arrived(calling.models["openai"])) == 1
    assert len(await calling.fake.arrived(calling.models["gemini"])) == 2
    await calling.proved()


async def test_a_budget_that_refuses_the_judgement_costs_no_answer(short_of_patience: Calling) -> None:
    calling = await judging(short_of_patience, "openai", "gemini", cross_validation_enabled=False)
    await calling.ask()
    ((answering,),) = [await calling.worst_cases("openai")]
    await update_system_settings(calling.ctx, {"cross_validation_enabled": True})
    owner = await calling.project(monthly_budget_override=answering)
    answer = await calling.ask("Say hello.", owner)
    assert answer.judgement is not None
    assert (answer.text, answer.cost, answer.judgement.verdict) == ("Hello there.", USUAL, "unjudged")
    assert answer.judgement.reason.startswith("There is no room for")
    assert f"the monthly budget of project {owner.project_id}" in answer.judgement.reason
    assert answer.judgement.attempts == ()
    assert await calling.fake.arrived(calling.models["gemini"]) == []
    await calling.proved()


async def test_an_accepted_answer_is_kept_with_its_judgement(calling: Calling, leader: Calling) -> None:
    calling = await judging(calling, "anthropic", "openai", cache_enabled=True)
    await calling.fake.standing(calling.models["anthropic"], delay=0.2)
    await calling.fake.standing(calling.models["openai"], **scored(90), delay=0.2)
    answers = await asyncio.gather(*(each.ask() for each in (calling, calling.elsewhere(leader.ctx)) for _ in range(4)))
    for answer in answers:
        assert answer.judgement is not None
        assert answer.judgement[:5] == ("accepted", "It greets.", 90, "openai", calling.models["openai"])
    assert sorted(answer.cost for answer in answers) == [0] * 7 + [USUAL + JUDGED]
    assert [len(await calling.fake.arrived(calling.models[each])) for each in ("anthropic", "openai")] == [1, 1]
    await calling.proved()


async def test_a_rejected_answer_is_not_kept(calling: Calling) -> None:
    calling = await judging(calling, "openai", "gemini", cache_enabled=True)
    await calling.fake.queue(calling.models["openai"], {"text": "Go away."})
    await calling.fake.queue(calling.models["gemini"], scored(10), scored(95))
    answers = [await calling.ask()]
    assert await calling.kept() == []
    answers += [await calling.ask() for _ in range(2)]
    assert [(answer.text, answer.is_cached) for answer in answers] == [
        ("Go away.", False),
        ("Hello there.", False),
        ("Hello there.", True),
    ]
    await calling.proved()


async def test_a_kept_answer_that_is_rejected_later_is_not_kept_any_more(calling: Calling) -> None:
    calling = await judging(calling, "openai", "gemini", cache_enabled=True, cross_validation_enabled=False)
    await calling.ask()
    await update_system_settings(calling.ctx, {"cross_validation_enabled": True})
    await calling.fake.queue(calling.models["gemini"], scored(10), scored(90))
    answers = [await calling.ask() for _ in range(3)]
    verdicts = [answer.judgement and answer.judgement.verdict for answer in answers]
    assert verdicts == ["rejected", "accepted", "accepted"]
    assert [answer.is_cached for answer in answers] == [True, False, True]
    await calling.proved()


async def test_a_higher_minimum_has_what_is_kept_asked_again(calling: Calling) -> None:
    calling = await judging(calling, "openai", "gemini", cache_enabled=True)
    await calling.fake.queue(calling.models["gemini"], scored(85), scored(99))
    await calling.ask()
    assert (await calling.ask()).is_cached
    await update_system_settings(calling.ctx, {"min_quality_score": 86})
    assert [(await calling.ask()).is_cached for _ in range(2)] == [False, True]
    (row,) = await calling.kept()
    assert row.score == 99
    await update_system_settings(calling.ctx, {"cross_validation_enabled": False, "min_quality_score": 100})
    answer = await calling.ask()
    assert (answer.is_cached, answer.judgement) == (True, None)


async def test_who_has_a_kept_answer_judged_alone_does_so(calling: Calling, leader: Calling) -> None:
    calling = await judging(calling, "openai", "gemini", cache_enabled=True, cross_validation_enabled=False)
    owner, other = await calling.project(), await calling.project()
    await calling.ask("Say hello.", owner)
    (before,) = await calling.kept()
    await update_system_settings(calling.ctx, {"cross_validation_enabled": True})
    await calling.fake.standing(calling.models["gemini"], **scored(88), delay=0.3)
    processes = (calling, calling.elsewhere(leader.ctx))
    answers = await asyncio.gather(*(each.ask("Say hello.", other) for each in processes for _ in range(3)))
    assert {answer.judgement and answer.judgement.score for answer in answers} == {88}
    assert all(answer.is_cached for answer in answers)
    assert len(await calling.fake.arrived(calling.models["gemini"])) == 1
    (row,) = await calling.kept()
    # The answer is as old as before, and still that of the project which has paid for it.
    assert (row.project_id, row.answered_at) == (owner.project_id, before.answered_at)
    assert (row.score, row.holder, row.held_until) == (88, None, None)
    await calling.proved()


async def test_a_long_or_odd_reason_is_kept_as_far_as_it_can_be(calling: Calling) -> None:
    calling = await judging(calling, "openai", "gemini", cache_enabled=True)
    await calling.fake.queue(calling.models["gemini"], scored(85, "a\0b" + "é" * 600))
    answers = [await calling.ask() for _ in range(2)]
    assert [answer.judgement and answer.judgement.reason for answer in answers] == ["ab" + "é" * 498] * 2
