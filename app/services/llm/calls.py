"""Calling a model: settings, price, budget, provider, log, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from app.context import Context
from app.errors import (
    ModelPriceMissingError,
    ProjectNotFoundError,
    ProviderKeyMissingError,
    ProvidersCoolingError,
    ProvidersFailedError,
)
from app.providers.metering import NobodyAnsweredError
from app.services.ledger.accounts import Owner
from app.services.llm.attempts import Attempted, LedgerMeter
from app.services.llm.effective import EffectiveSettings, effective_settings, resolve
from app.services.llm.key_alerts import key_refused
from app.services.llm.model_price import ModelPrice
from app.services.llm.price_lookup import prices_of
from app.services.llm.provider_clients import VENDORS, candidates_of, has_access, keys_of
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import system_settings
from app.services.llm.usage_log import Caller
from app.settings import variable_of
from sql.statements import llm_calls as statements

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings


class ModelRequest(NamedTuple):
    """What a model is asked; the system's part of the prompt comes from the settings."""

    prompt: str
    description: str | None = None


class ModelAnswer(NamedTuple):
    """The answer, who has given it, and every attempt; ``cost`` is that of all attempts in 1e-9 USD."""

    text: str
    provider: str
    model: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost: int
    attempts: list[Attempted]


class Metered(NamedTuple):
    """A model that pays for itself, its settings, and the meter that knows its attempts."""

    model: Model
    settings: EffectiveSettings
    meter: LedgerMeter
    secrets: frozenset[str]


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
    """Ask the providers in the order of the settings until one answers; with ``on_text`` the answer is streamed to it.

    Raises ProviderKeyMissingError, ModelPriceMissingError, BudgetExceededError, ProvidersFailedError,
    ProvidersCoolingError.
    """
    metered = await metered_model(ctx, Caller(owner, agent_type, agent_id, task_id, request.description))
    text = await _ask(metered, request.prompt, on_text)
    attempts = metered.meter.attempts
    last = attempts[-1]
    return ModelAnswer(
        text=text,
        provider=last.provider,
        model=last.model,
        input_tokens=last.input_tokens,
        cached_input_tokens=last.cached_input_tokens,
        output_tokens=last.output_tokens,
        cost=sum(attempt.cost for attempt in attempts),
        attempts=attempts,
    )


async def _ask(metered: Metered, prompt: str, on_text: Callable[[str], None] | None) -> str:
    # Imported here, as everywhere: whoever calls no model does not pay for the library.
    from app.providers.asking import ask

    settings = metered.settings
    values: ModelSettings = {"max_tokens": settings.max_tokens.value, "temperature": settings.temperature.value}
    try:
        return await ask(metered.model, prompt, settings.prompt, values, metered.secrets, on_text)
    except NobodyAnsweredError as failure:
        reasons = "; ".join(failure.reasons)
        if failure.retry_after is not None:
            raise ProvidersCoolingError(reasons=reasons, retry_after=max(failure.retry_after, 1)) from None
        raise ProvidersFailedError(reasons=reasons) from None


async def metered_model(ctx: Context, caller: Caller) -> Metered:
    """The model that the settings choose for a caller, with those that follow when it fails.

    Whatever uses it, an agent too, pays for each attempt. Raises ProviderKeyMissingError, ModelPriceMissingError.
    """
    settings = await settings_for(ctx, caller.owner.project_id, caller.agent_type)
    prices = await _prices(ctx, _models(ctx, settings))
    clients, candidates = await candidates_of(ctx, {provider: price.model for provider, price in prices.items()})
    from app.providers.chain import chain
    from app.providers.guarded import Patience

    portal = ctx.runtime.settings
    patience = Patience(
        settings.retries_per_provider.value, portal.provider_retry_seconds, portal.provider_cooldown_seconds
    )

    async def on_key_refused(provider: str) -> None:
        await key_refused(ctx, provider)

    secrets = keys_of(portal)
    meter = LedgerMeter(ctx, caller, prices)
    model = chain(
        clients,
        candidates,
        meter,
        patience,
        max_tokens=settings.max_tokens.value,
        secrets=secrets,
        on_key_refused=on_key_refused,
    )
    return Metered(model, settings, meter, secrets)


async def settings_for(ctx: Context, project_id: str | None, agent_type: str) -> EffectiveSettings:
    """What holds for an agent in a project, or in none."""
    if project_id is not None:
        return await effective_settings(ctx, project_id, agent_type)
    return resolve(await system_settings(ctx), agent_type=agent_type)


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


async def _prices(ctx: Context, models: dict[Provider, str]) -> dict[Provider, ModelPrice]:
    """The prices of the models that have one, in order; raises ModelPriceMissingError if the first has none.

    No budget can be kept with a model without a price, so it is not called: a later one is left out.
    """
    async with ctx.read() as conn:
        prices = await prices_of(conn, ctx, models)
    first, model = next(iter(models.items()))
    if first not in prices:
        raise ModelPriceMissingError(provider=first, model=model)
    return prices


def as_json(answer: ModelAnswer) -> dict[str, Any]:
    """The answer and its attempts as members."""
    return {**answer._asdict(), "attempts": [attempt._asdict() for attempt in answer.attempts]}
