"""Calls of models over real HTTP: for each way in which a provider behaves, what is settled and what is logged."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from support.fake_llm import KEYS
from support.model_calls import CACHED, INPUT, OUTPUT, PROVIDERS, USUAL, Calling
from support.processes import FULL_PROOF

from app.commands.llm_checks import provider_keys
from app.context import Context
from app.errors import (
    ModelPriceMissingError,
    ProviderKeyMissingError,
    ProvidersCoolingError,
    ProvidersFailedError,
)
from app.services.llm.prices import remove_price, set_price
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import update_system_settings
from app.telemetry.log import configure_logging
from sql.tables import llm_alerts, metadata


class Way(NamedTuple):
    """How a provider answers first, and how that attempt ends; ``used`` None is all that was reserved."""

    name: str
    answer: dict[str, Any]
    state: str
    used: int | None
    streams: bool = False
    is_an_answer: bool = False
    is_tried_again: bool = True


# More than the worst case of any of these calls.
MUCH = 2_000_000
WAYS = [
    Way("success", {}, "settled", USUAL, is_an_answer=True),
    Way("streamed", {}, "settled", USUAL, streams=True, is_an_answer=True),
    Way("rate_limit", {"status": 429, "headers": {"retry-after": "0"}}, "released", 0),
    Way("server_error", {"status": 500}, "unconfirmed", None),
    Way("overloaded", {"status": 529}, "released", 0),
    Way("slow", {"delay": 3}, "unconfirmed", None),
    Way("cut", {"cut": 20}, "unconfirmed", None),
    Way("cut_stream", {"cut": 5, "text": "word " * 400}, "unconfirmed", None, streams=True),
    Way("invalid_json", {"body": "{not json"}, "unconfirmed", None),
    Way("no_usage", {"usage": False}, "unconfirmed", None, is_an_answer=True),
    Way("streamed_no_usage", {"usage": False}, "unconfirmed", None, streams=True, is_an_answer=True),
    Way("bad_request", {"status": 400}, "released", 0, is_tried_again=False),
    Way("key_refused", {"status": 401}, "released", 0, is_tried_again=False),
    Way("cached", {"input": 50, "cached": 40}, "settled", 10 * INPUT + 40 * CACHED + 7 * OUTPUT, is_an_answer=True),
    Way("unbelievable", {"input": 10**15, "output": 9}, "unconfirmed", None, is_an_answer=True),
    Way("overrun", {"input": MUCH, "output": 9}, "settled", MUCH * INPUT + 9 * OUTPUT, is_an_answer=True),
]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
async def test_each_attempt_is_settled_and_logged_once(calling: Calling, provider: Provider, way: Way) -> None:
    if not (FULL_PROOF or calling.ctx.runtime.db.is_sqlite or provider == "openai"):
        pytest.skip("what this provider sends is read the same way on both databases; PORTAL_PROOF=full runs it")
    calling = await Calling.prepared(calling.ctx, calling.fake, provider, retries=1)
    await calling.fake.queue(calling.models[provider], way.answer)
    pieces: list[str] = []
    answers = way.is_an_answer
    if provider == "anthropic" and not way.answer.get("usage", True):
        # Its library cannot read an answer that does not say what was used.
        way, answers = way._replace(is_an_answer=False, is_tried_again=False), False
    if answers or way.is_tried_again:
        answer = await calling.ask(on_text=pieces.append if way.streams else None)
        assert answer.text.strip() == way.answer.get("text", "Hello there.").strip() or not answers
        assert "".join(pieces) == (answer.text if way.streams else "")
    else:
        with pytest.raises(ProvidersFailedError, match=calling.models[provider]):
            await calling.ask(on_text=pieces.append if way.streams else None)
    worst = await calling.worst_cases(provider)
    expected = [(way.state, worst[0] if way.used is None else way.used)]
    expected += [] if answers or not way.is_tried_again else [("settled", USUAL)]
    held = await calling.reservations()
    assert [each.amount for each in held] == worst
    assert [(each.state, each.used) for each in held] == expected
    assert await calling.balances() == {(0, sum(used for _, used in expected))}
    rows = await calling.rows()
    assert [row.success for row in rows] == [True] if answers else [False, True][: len(rows)]
    assert {(row.provider, row.model, row.agent_type) for row in rows} == {
        (provider, calling.models[provider], "coder")
    }
    await calling.proved()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("broken", [{"reason": False}, {"cut": 700, "text": "word " * 400}], ids=["no_reason", "cut"])
async def test_a_stream_that_breaks_off_is_no_answer(
    calling: Calling, provider: Provider, broken: dict[str, Any]
) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, provider, retries=2)
    await calling.fake.queue(calling.models[provider], broken)
    pieces: list[str] = []
    with pytest.raises(ProvidersFailedError):
        await calling.ask(on_text=pieces.append)
    # Somebody has read it: nothing is tried again.
    assert pieces
    (held,) = await calling.reservations()
    assert (held.state, held.used) == ("unconfirmed", (await calling.worst_cases(provider))[0])
    await calling.proved()


async def test_a_refused_key_is_skipped_and_told_of_once(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "anthropic", "openai")
    await calling.fake.standing(calling.models["anthropic"], status=401)
    for _ in range(2):
        answer = await calling.ask()
        assert (answer.provider, [attempt.end for attempt in answer.attempts]) == ("openai", ["refused", "answered"])
    async with calling.ctx.read() as conn:
        alerts = await conn.rows(select(llm_alerts))
    assert [(alert.type, alert.level) for alert in alerts] == [("provider_key", "critical")]
    assert "ANTHROPIC_API_KEY" in alerts[0].details
    doctor = {check.check: check for check in await provider_keys(calling.ctx.runtime)}
    assert (doctor["anthropic"].status, doctor["openai"].status) == ("warning", "ok")
    assert "has refused the key (ANTHROPIC_API_KEY) at" in doctor["anthropic"].detail
    await calling.proved()


async def test_a_provider_that_failed_is_left_alone_for_a_while(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "gemini", "openai", retries=1)
    await calling.fake.standing(calling.models["gemini"], status=503)
    first, second = await calling.ask(), await calling.ask()
    assert [attempt.provider for attempt in first.attempts] == ["gemini", "gemini", "openai"]
    assert [attempt.provider for attempt in second.attempts] == ["openai"]
    assert len(await calling.fake.arrived(calling.models["gemini"])) == 2
    await calling.fake.standing(calling.models["openai"], status=503)
    with pytest.raises(ProvidersFailedError):
        await calling.ask()
    with pytest.raises(ProvidersCoolingError) as refused:
        await calling.ask()
    assert refused.value.values["retry_after"] > 0
    await calling.proved()


async def test_a_long_wait_that_a_provider_asks_for_is_spent_at_the_next(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "anthropic", "gemini", retries=3)
    await calling.fake.standing(calling.models["anthropic"], status=429, headers={"retry-after": "3000"})
    answer = await calling.ask()
    assert [(attempt.provider, attempt.cost) for attempt in answer.attempts] == [("anthropic", 0), ("gemini", USUAL)]


async def test_what_has_not_left_costs_nothing(unreachable: Calling) -> None:
    calling = await Calling.prepared(unreachable.ctx, unreachable.fake, "openai", "gemini")
    with pytest.raises(ProvidersFailedError):
        await calling.ask()
    assert [(each.state, each.used) for each in await calling.reservations()] == [("released", 0)] * 2
    assert [row.success for row in await calling.rows()] == [False, False]
    await calling.proved()


async def without_price(ctx: Context, provider: Provider) -> None:
    """Have the provider's model be one whose price was removed since it was chosen."""
    await set_price(ctx, provider, "nobody-knows-it", {"input_price": 0, "output_price": 0})
    await update_system_settings(ctx, {f"{provider}_model": "nobody-knows-it"})
    await remove_price(ctx, provider, "nobody-knows-it")


async def test_a_model_without_a_price_is_not_called(calling: Calling) -> None:
    calling = await Calling.prepared(calling.ctx, calling.fake, "openai", "anthropic")
    await without_price(calling.ctx, "anthropic")
    assert (await calling.ask()).provider == "openai"
    await without_price(calling.ctx, "openai")
    with pytest.raises(ModelPriceMissingError, match="portal llm set-price openai nobody-knows-it"):
        await calling.ask()
    assert await calling.fake.arrived("nobody-knows-it") == []


async def test_without_any_key_the_variables_are_named(keyless: Calling) -> None:
    calling = await Calling.prepared(keyless.ctx, keyless.fake, "gemini", "anthropic")
    with pytest.raises(ProviderKeyMissingError, match="GOOGLE_API_KEY, ANTHROPIC_API_KEY"):
        await calling.ask()


async def test_no_key_is_kept_or_told(calling: Calling, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(calling.ctx.runtime.settings, level="debug")
    for provider in PROVIDERS:
        calling = await Calling.prepared(calling.ctx, calling.fake, provider, retries=1)
        for status in (400, 401, 429, 500):
            await calling.fake.queue(calling.models[provider], {"status": status}, {"status": status})
            with pytest.raises((ProvidersFailedError, ProvidersCoolingError)) as failed:
                await calling.ask()
            assert not any(key in failed.value.detail for key in KEYS.values())
    async with calling.ctx.read() as conn:
        stored = [repr(await conn.rows(select(table))) for table in metadata.tables.values()]
    written = await asyncio.to_thread(capfd.readouterr)
    assert "provider_refuses_key" in written.err
    for key in KEYS.values():
        assert key not in "".join((*stored, written.out, written.err))
