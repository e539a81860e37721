"""Kept answers: a question is paid for once, its answer is that of no other one, and it goes when it must."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from support.clocks import MovableClock
from support.model_calls import PRICE, PROVIDERS, USUAL, Calling
from support.statements import counted_statements

from app.context import Context
from app.database import removal
from app.services.ledger.accounts import Owner
from app.services.llm import answer_cache
from app.services.llm.answer_cache import Hold, Question, Wanted, open_question, remove_answers
from app.services.llm.call_list import Chosen, list_calls
from app.services.llm.prices import set_price
from app.services.llm.provider_clients import _clients
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import update_system_settings
from app.services.projects.deletion import delete_any_project
from app.services.reports.model_usage import overview
from app.services.tenants.onboarding import ensure_tenant
from app.services.upkeep.usage import apply_retention

ANY = Wanted(0, needs_score=False)


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
async def test_the_same_question_is_paid_for_once(calling: Calling, streams: bool) -> None:
    calling = await calling.keeping("openai")
    await calling.fake.standing(calling.models["openai"], text="Good   day,\nyou.")
    first = await calling.ask()
    await update_system_settings(calling.ctx, {"monthly_budget": 0, "daily_budget": 0})
    pieces: list[str] = []
    with counted_statements(calling.ctx.runtime.db) as statements:
        second = await calling.ask(on_text=pieces.append if streams else None)
    # A look at the answer and a row of the log; nothing of the ledger.
    assert [len([each for each in statements if name in each]) for name in ("model_answers", "INTO llm_calls")] == [
        1,
        1,
    ]
    assert not [each for each in statements if "ledger_" in each]
    assert await calling.arrivals("openai") == 1
    assert (first.is_cached, second.is_cached) == (False, True)
    assert second.text == first.text == "Good   day,\nyou."
    assert pieces == ([second.text] if streams else [])
    assert (second.provider, second.model) == (first.provider, first.model)
    assert (second.cost, second.attempts, second.input_tokens, second.output_tokens) == (0, [], 0, 0)
    assert [(row.cached, row.success, row.cost) for row in await calling.rows()] == [
        (False, True, USUAL),
        (True, True, 0),
    ]
    assert [held.used for held in await calling.reservations()] == [USUAL]
    assert await calling.balances() == {(0, USUAL)}
    await calling.proved()


async def test_a_kept_answer_is_a_call_of_the_figures_and_of_the_log(calling: Calling) -> None:
    calling = await calling.keeping("gemini")
    for _ in range(3):
        await calling.ask()
    figures = await overview(calling.ctx)
    assert (figures.total_calls, figures.total_cost, figures.success_rate) == (3, USUAL, 100)
    page = await list_calls(calling.ctx, Chosen(status="cached"))
    assert [(row.cached, row.model, row.cost) for row in page.rows] == [(True, calling.models["gemini"], 0)] * 2
    (row,) = await calling.kept()
    assert b"hello" not in row.key_hash.lower()
    assert (row.holder, row.held_until) == (None, None)


async def test_nothing_is_kept_where_that_is_switched_off(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "openai")
    assert [(await calling.ask()).is_cached for _ in range(2)] == [False, False]
    assert await calling.kept() == []
    await update_system_settings(calling.ctx, {"cache_enabled": True})
    assert [(await calling.ask()).is_cached for _ in range(2)] == [False, True]
    await update_system_settings(calling.ctx, {"cache_enabled": False})
    assert not (await calling.ask()).is_cached


async def test_a_miss_costs_so_many_statements(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    await calling.ask("first")
    with counted_statements(calling.ctx.runtime.db) as statements:
        await calling.ask("second")
    await update_system_settings(calling.ctx, {"cache_enabled": False})
    with counted_statements(calling.ctx.runtime.db) as unkept:
        await calling.ask("second")
    # Three more: a look, the hold, the answer.
    assert len(statements) == len(unkept) + 3


CHANGES: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.6},
    "most tokens": {"max_tokens": 101},
    "system prompt": {"system_prompt": "Be brief."},
}


@pytest.mark.parametrize("change", CHANGES)
async def test_another_setting_makes_another_question(calling: Calling, change: str) -> None:
    calling = await calling.keeping("openai")
    before = [await calling.ask(), await calling.ask()]
    await update_system_settings(calling.ctx, CHANGES[change])
    after = [await calling.ask(), await calling.ask()]
    assert [answer.is_cached for answer in (*before, *after)] == [False, True, False, True]


async def test_another_prompt_model_or_provider_makes_another_question(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    assert not (await calling.ask("Say hello.")).is_cached
    # Both prompts together are the same text.
    await update_system_settings(calling.ctx, {"system_prompt": "Say"})
    assert not (await calling.ask("hello.")).is_cached
    await update_system_settings(calling.ctx, {"system_prompt": "Say hello."})
    assert not (await calling.ask("")).is_cached
    await update_system_settings(calling.ctx, {"system_prompt": ""})
    assert (await calling.ask("Say hello.")).is_cached
    model = calling.models["openai"]
    await set_price(calling.ctx, "openai", f"{model}-next", PRICE)
    for provider in ("anthropic", "gemini"):
        await set_price(calling.ctx, provider, model, PRICE)
    same = {"anthropic_model": model, "gemini_model": model}
    changes: tuple[tuple[dict[str, Any], bool], ...] = (
        ({"openai_model": f"{model}-next"}, False),
        ({"openai_model": model}, True),
        # Models of the same name at other providers, of which two have the same address; and back.
        ({"primary_provider": "anthropic", **same}, False),
        ({"primary_provider": "gemini"}, False),
        ({"primary_provider": "openai"}, True),
    )
    for change, is_cached in changes:
        await update_system_settings(calling.ctx, change)
        assert (await calling.ask("Say hello.")).is_cached is is_cached


async def test_the_same_model_at_another_address_makes_another_question(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    await calling.ask()
    settings = calling.ctx.runtime.settings
    other = settings.model_copy(update={"openai_base_url": f"{settings.openai_base_url}/"})
    calling.ctx.runtime.settings = other
    assert [(await calling.ask()).is_cached for _ in range(2)] == [False, True]
    calling.ctx.runtime.settings = settings
    assert (await calling.ask()).is_cached


async def test_another_tenant_pays_for_itself(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    tenants = [(await ensure_tenant(calling.ctx, name=name, slug=name.lower()))[0].id for name in ("Ann", "Bob")]
    ann, ann_too, bob, nobody = [
        await calling.project(tenant_id=tenant_id) for tenant_id in (tenants[0], *tenants, None)
    ]
    answers = [await calling.ask("Say hello.", owner) for owner in (ann, ann_too, bob, nobody, Owner(), bob)]
    # What is no tenant's is the installation's.
    assert [answer.is_cached for answer in answers] == [False, True, False, False, True, True]
    assert [row.tenant_id for row in await calling.rows()] == [*[tenants[0]] * 2, tenants[1], None, None, tenants[1]]
    await calling.proved()


UNKEPT: dict[str, dict[str, Any]] = {
    "with a NUL": {"text": "a\0b"},
    "with half a character": {"text": "a\ud83d"},
    "too large": {"text": "é" * (answer_cache.MAX_BYTES // 2) + "x"},
}


@pytest.mark.parametrize("text", UNKEPT)
async def test_what_cannot_be_kept_as_it_is_is_answered_all_the_same(calling: Calling, text: str) -> None:
    calling = await calling.keeping("openai")
    await calling.fake.standing(calling.models["openai"], **UNKEPT[text])
    answers = [await calling.ask() for _ in range(2)]
    assert [(answer.text, answer.is_cached) for answer in answers] == [(UNKEPT[text]["text"], False)] * 2
    assert await calling.kept() == []
    await calling.proved()


async def test_the_largest_text_is_kept(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    await calling.fake.standing(calling.models["openai"], text="é" * (answer_cache.MAX_BYTES // 2))
    assert [(await calling.ask()).is_cached for _ in range(2)] == [False, True]


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_was_cut_off_is_not_kept(calling: Calling, provider: Provider, streams: bool) -> None:
    calling = await calling.keeping(provider)
    await calling.fake.queue(calling.models[provider], {"is_cut_off": True}, {"is_cut_off": False})
    on_text = (lambda _: None) if streams else None
    assert [(await calling.ask(on_text=on_text)).is_cached for _ in range(3)] == [False, False, True]


async def test_what_another_provider_answered_is_kept_under_its_name(calling: Calling) -> None:
    calling = await calling.keeping("gemini", "openai")
    await calling.fake.queue(calling.models["gemini"], {"status": 503})
    await calling.fake.standing(calling.models["gemini"], text="From Gemini.")
    await calling.fake.standing(calling.models["openai"], text="From OpenAI.", delay=0.2)
    answers = await asyncio.gather(*(calling.ask() for _ in range(5)))
    # While the first provider is left alone the question is one to the second.
    assert Counter((answer.provider, answer.text, answer.is_cached) for answer in answers) == {
        ("openai", "From OpenAI.", False): 1,
        ("openai", "From OpenAI.", True): 4,
    }
    assert (await calling.arrivals("gemini"), await calling.arrivals("openai")) == (1, 1)
    _clients[calling.ctx.runtime].guard("gemini").warm()
    answers = [await calling.ask() for _ in range(2)]
    assert [(answer.provider, answer.text, answer.is_cached) for answer in answers] == [
        ("gemini", "From Gemini.", False),
        ("gemini", "From Gemini.", True),
    ]
    assert len(await calling.kept()) == 2
    await calling.proved()


async def test_a_deleted_project_takes_its_answers_with_it(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    owner, other = await calling.project(), await calling.project()
    await calling.ask("Say hello.", owner)
    await calling.ask("Say goodbye.", other)
    assert owner.project_id is not None
    await delete_any_project(calling.ctx, owner.project_id)
    assert [row.project_id for row in await calling.kept()] == [other.project_id]
    assert not (await calling.ask("Say hello.", other)).is_cached


async def test_a_project_that_is_deleted_while_it_asks_leaves_nothing(calling: Calling) -> None:
    calling = await calling.keeping("openai")
    owner, other = await calling.project(), await calling.project()
    assert owner.project_id is not None
    await calling.fake.queue(calling.models["openai"], {"delay": 0.4})
    asking = asyncio.create_task(calling.ask("Say hello.", owner))
    await calling.until_it_holds()
    waiting = asyncio.create_task(calling.ask("Say hello.", owner))
    await asyncio.sleep(0.05)
    await delete_any_project(calling.ctx, owner.project_id)
    answers = await asyncio.gather(asking, waiting)
    assert [(answer.text, answer.is_cached) for answer in answers] == [("Hello there.", False)] * 2
    assert await calling.kept() == []
    assert not (await calling.ask("Say hello.", other)).is_cached
    await calling.proved()


async def test_an_answer_is_served_for_ninety_days_and_then_removed(
    calling: Calling, leader: Calling, clock: MovableClock
) -> None:
    calling = await calling.keeping("openai")
    later = calling.elsewhere(leader.ctx)
    assert calling.ctx.runtime.settings.model_answer_retention_days == 90
    owner, other = await calling.project(), await calling.project()
    await calling.ask("Say hello.", owner)
    clock.move(days=90, seconds=-60)
    assert (await later.ask("Say hello.", other)).is_cached
    assert (await apply_retention(leader.ctx))["model_answers"] == 0
    clock.move(seconds=61)
    (old,) = await calling.kept()
    answer = await later.ask("Say hello.", other)
    (new,) = await calling.kept()
    assert (answer.is_cached, new.key_hash) == (False, old.key_hash)
    # Each goes with the project that has paid for it.
    assert (old.project_id, new.project_id) == (owner.project_id, other.project_id)
    assert new.answered_at - old.answered_at >= timedelta(days=90)
    clock.move(days=91)
    assert (await apply_retention(leader.ctx))["model_answers"] == 1
    assert await calling.kept() == []


async def test_what_nobody_answered_is_removed_and_what_is_asked_stays(
    calling: Calling, leader: Calling, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 2)

    async def asked(ctx: Context) -> None:
        question = Question(uuid.uuid4().bytes, "openai", "gpt-4o")
        assert isinstance(await open_question(ctx, Owner(), lambda: question, ANY), Hold)

    for _ in range(5):
        await asked(calling.ctx)
    assert await remove_answers(calling.ctx) == 0
    clock.move(seconds=answer_cache.HOLD_SECONDS + 1)
    await asked(leader.ctx)
    with counted_statements(leader.ctx.runtime.db) as statements:
        assert await remove_answers(leader.ctx) == 5
    # One for old answers, and three for two questions each.
    assert len(statements) == 1 + 3
    assert len(await leader.kept()) == 1


async def test_not_even_with_the_same_key_is_an_answer_that_of_another_tenant(calling: Calling) -> None:
    ann, bob = [(await ensure_tenant(calling.ctx, name=name, slug=name.lower()))[0].id for name in ("Ann", "Bob")]
    question = Question(b"q", "openai", "gpt-4o")
    hold = await open_question(calling.ctx, Owner(ann), lambda: question, ANY)
    assert isinstance(hold, Hold)
    async with hold.held():
        hold.result = answer_cache.Stored("Ann's")
    before = await calling.kept()
    for owner in (Owner(bob), Owner()):
        await answer_cache.keep_under(calling.ctx, owner, question, answer_cache.Stored("mine"), Wanted(0, True))
        turn = asyncio.Lock()
        assert await answer_cache._found_or_taken(calling.ctx, owner, question, ANY, turn) is None
    assert await calling.kept() == before
