"""Calling a model: settings, price, kept answers, budget, provider, log and judgement, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from app.context import Context
from app.errors import ModelPriceMissingError, ProjectNotFoundError, ProviderKeyMissingError
from app.services.ledger.accounts import Owner
from app.services.llm import answer_cache, cross_validation
from app.services.llm.answer_cache import Hit, Hold, Question, Stored, Wanted
from app.services.llm.asking import Metered, asked, metered_of
from app.services.llm.attempts import Attempted
from app.services.llm.call_settings import OwnRates, call_settings
from app.services.llm.cross_validation import Judgement
from app.services.llm.effective import EffectiveSettings
from app.services.llm.model_price import ModelPrice
from app.services.llm.price_lookup import prices_beside
from app.services.llm.provider_clients import VENDORS, address_of, has_access, is_left_alone
from app.services.llm.setting_values import Provider
from app.services.llm.usage_log import Caller, log_cached
from app.settings import variable_of
from sql.statements import llm_calls as statements


class ModelRequest(NamedTuple):
    """What a model is asked; the system's part of the prompt comes from the settings."""

    prompt: str
    description: str | None = None


class ModelAnswer(NamedTuple):
    """The answer, who has given it, and every attempt to get it; ``cost`` is that of all attempts in 1e-9 USD.

    The cost of a judgement is in it too. A kept answer has no attempts. Without cross-validation ``judgement`` is None.
    """

    text: str
    provider: str
    model: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost: int
    attempts: list[Attempted]
    is_cached: bool = False
    judgement: Judgement | None = None


class _Call(NamedTuple):
    """One call: for whom, with which settings, and the prices of the models that may be asked, in order."""

    ctx: Context
    caller: Caller
    settings: EffectiveSettings
    prices: dict[Provider, ModelPrice]
    prompt: str
    on_text: Callable[[str], None] | None
    began_at: float


async def call_model(
    ctx: Context,
    request: ModelRequest,
    owner: Owner,
    agent_type: str,
    *,
    agent_id: str | None = None,
    task_id: int | None = None,
    on_text: Callable[[str], None] | None = None,
) -> ModelAnswer:
    """The kept answer, or that of the first provider in the order of the settings that answers, judged by the next.

    With ``on_text`` the answer is streamed to it, a kept one at once. Raises ProviderKeyMissingError,
    ModelPriceMissingError, BudgetExceededError, ProvidersFailedError, ProvidersCoolingError.
    """
    caller, began_at = Caller(owner, agent_type, agent_id, task_id, request.description), time.monotonic()
    settings, prices = await _settings_and_prices(ctx, caller)
    call = _Call(ctx, caller, settings, prices, request.prompt, on_text, began_at)
    if not settings.cache_enabled.value:
        return (await _ask(call))[0]
    wanted = _wanted(call)
    found = await answer_cache.open_question(ctx, owner, lambda: _first_question(call), wanted)
    if isinstance(found, Hit):
        return await _answer_kept(call, found.question, found.stored)
    if isinstance(found, Hold):
        return await _ask_held(call, found, wanted)
    return (await _ask(call))[0]


async def _ask(call: _Call) -> tuple[ModelAnswer, Stored | None]:
    """Ask the providers; also what may be kept of it: a complete answer that nobody has rejected."""
    metered = await metered_of(call.ctx, call.caller, call.settings, call.prices)
    told = await asked(metered, call.prompt, call.settings.prompt, call.settings.temperature.value, call.on_text)
    attempts = metered.meter.attempts
    last = attempts[-1]
    answer = ModelAnswer(
        text=told.text,
        provider=last.provider,
        model=last.model,
        input_tokens=last.input_tokens,
        cached_input_tokens=last.cached_input_tokens,
        output_tokens=last.output_tokens,
        cost=sum(attempt.cost for attempt in attempts),
        attempts=attempts,
    )
    answer = await _judged(call, answer)
    return answer, _stored(answer) if told.is_complete else None


async def _judged(call: _Call, answer: ModelAnswer) -> ModelAnswer:
    settings = call.settings
    if not settings.cross_validation_enabled.value:
        return answer
    judging = cross_validation.judge_of(call.prices, answer.provider)
    judgement = await cross_validation.judge(call.ctx, call.caller, settings, judging, call.prompt, answer.text)
    return answer._replace(judgement=judgement, cost=answer.cost + judgement.cost)


def _stored(answer: ModelAnswer) -> Stored | None:
    judgement = answer.judgement
    if judgement is None or judgement.score is None:
        return Stored(answer.text)
    if judgement.verdict == "rejected":
        return None
    return Stored(answer.text, judgement.score, judgement.reason, judgement.provider, judgement.model)


async def _ask_held(call: _Call, hold: Hold, wanted: Wanted) -> ModelAnswer:
    """Ask the question that this call alone holds, or have the kept text judged that nobody has judged yet."""
    async with hold.held():
        if hold.result is not None:
            answer = await _judged(call, await _answer_kept(call, hold.question, hold.result))
            hold.result = _stored(answer)
            return answer
        answer, stored = await _ask(call)
        question = _question(call, answer.provider, answer.model)
        if question == hold.question:
            hold.result = stored
        elif stored is not None:
            # Never under the name of a provider that has not answered.
            await answer_cache.keep_under(call.ctx, call.caller.owner, question, stored, wanted)
        return answer


async def _answer_kept(call: _Call, question: Question, stored: Stored) -> ModelAnswer:
    """A kept answer with its row of the log; it costs nothing."""
    milliseconds = round((time.monotonic() - call.began_at) * 1000)
    await log_cached(call.ctx, call.caller, question.provider, question.model, stored.text, milliseconds)
    if call.on_text is not None:
        call.on_text(stored.text)
    judgement = None
    if call.settings.cross_validation_enabled.value:
        judgement = cross_validation.kept_judgement(call.settings, stored)
    return ModelAnswer(stored.text, question.provider, question.model, 0, 0, 0, 0, [], True, judgement)


def _wanted(call: _Call) -> Wanted:
    settings = call.settings
    if not settings.cross_validation_enabled.value:
        return Wanted(0, needs_score=False)
    return Wanted(settings.min_quality_score.value, needs_score=len(call.prices) > 1)


def _first_question(call: _Call) -> Question:
    """The question to whoever would be asked first now."""
    asked_now = (price for price in call.prices.values() if not is_left_alone(call.ctx, price.provider))
    first = next(asked_now, next(iter(call.prices.values())))
    return _question(call, first.provider, first.model)


def _question(call: _Call, provider: str, model: str) -> Question:
    """All that makes the answer: whose it is, who is asked at which address, the parameters, and both prompts."""
    settings = call.settings
    named = next(each for each in call.prices if each == provider)
    parts = (
        "" if call.caller.owner.tenant_id is None else str(call.caller.owner.tenant_id),
        provider,
        address_of(call.ctx.runtime.settings, named),
        model,
        str(settings.max_tokens.value),
        repr(settings.temperature.value),
        settings.prompt,
        call.prompt,
    )
    key_hash = call.ctx.runtime.keys.question_hash(*(part.encode(errors="surrogatepass") for part in parts))
    return Question(key_hash, named, model)


async def metered_model(ctx: Context, caller: Caller) -> Metered:
    """The model that the settings choose for a caller, with those that follow when it fails.

    Whatever uses it, an agent too, pays for each attempt; no answer is kept and none is judged. Raises
    ProviderKeyMissingError, ModelPriceMissingError.
    """
    return await metered_of(ctx, caller, *await _settings_and_prices(ctx, caller))


async def _settings_and_prices(ctx: Context, caller: Caller) -> tuple[EffectiveSettings, dict[Provider, ModelPrice]]:
    settings, own_rates = await call_settings(ctx, caller.owner.project_id, caller.agent_type)
    return settings, await _prices(ctx, _models(ctx, settings), own_rates)


async def owner_of_project(ctx: Context, project_id: str) -> Owner:
    """For whom money is spent in a project; raises ProjectNotFoundError."""
    async with ctx.read() as conn:
        owner = await conn.maybe(statements.project_owner, Owner, project_id=project_id)
    if owner is None:
        raise ProjectNotFoundError(project_id=project_id)
    return owner


def _models(ctx: Context, settings: EffectiveSettings) -> dict[Provider, str]:
    """The providers that can be called, in order, with their models; raises ProviderKeyMissingError."""
    first: dict[Provider, str] = {settings.provider.value: settings.model.value}
    of_provider: dict[Provider, str] = {
        "gemini": settings.gemini_model.value,
        "openai": settings.openai_model.value,
        "anthropic": settings.anthropic_model.value,
    }
    others = (settings.secondary_provider.value, settings.tertiary_provider.value)
    chosen = {**{provider: of_provider[provider] for provider in others if provider}, **first}
    in_order = [settings.provider.value, *(provider for provider in others if provider)]
    usable = {each: chosen[each] for each in in_order if has_access(ctx.runtime.settings, each)}
    if not usable:
        variables = ", ".join(variable_of(f"{VENDORS[provider]}_api_key") for provider in in_order)
        raise ProviderKeyMissingError(providers=", ".join(in_order), variables=variables)
    return usable


async def _prices(ctx: Context, models: dict[Provider, str], own_rates: OwnRates) -> dict[Provider, ModelPrice]:
    """The prices of the models that have one, in order; raises ModelPriceMissingError if the first has none.

    No budget can be kept with a model without a price, so it is not called: a later one is left out.
    """
    prices = await prices_beside(ctx, models, own_rates)
    first, model = next(iter(models.items()))
    if first not in prices:
        raise ModelPriceMissingError(provider=first, model=model)
    return prices


def as_json(answer: ModelAnswer) -> dict[str, Any]:
    """The answer, its judgement and the attempts of both as members."""
    judgement = answer.judgement
    return {
        **answer._asdict(),
        "attempts": [attempt._asdict() for attempt in answer.attempts],
        "judgement": judgement
        and {**judgement._asdict(), "attempts": [attempt._asdict() for attempt in judgement.attempts]},
    }
