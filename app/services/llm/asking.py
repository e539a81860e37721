"""Asking providers one thing: in the order of the candidates, each attempt paid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from app.context import Context
from app.errors import ProvidersCoolingError, ProvidersFailedError
from app.providers.metering import NobodyAnsweredError
from app.services.llm.attempts import LedgerMeter
from app.services.llm.effective import EffectiveSettings
from app.services.llm.key_alerts import key_refused
from app.services.llm.model_price import ModelPrice
from app.services.llm.provider_clients import candidates_of, keys_of
from app.services.llm.setting_values import Provider
from app.services.llm.usage_log import Caller

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

    from app.providers.asking import Told


class Metered(NamedTuple):
    """A model that pays for itself, its settings, and the meter that knows its attempts."""

    model: Model
    settings: EffectiveSettings
    meter: LedgerMeter
    secrets: frozenset[str]


async def metered_of(
    ctx: Context, caller: Caller, settings: EffectiveSettings, prices: Mapping[Provider, ModelPrice]
) -> Metered:
    """The models that have these prices as one, which asks the next one where one fails."""
    clients, candidates = await candidates_of(ctx, {provider: price.model for provider, price in prices.items()})
    # Imported here, as everywhere: whoever calls no model does not pay for the library.
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


async def asked(
    metered: Metered,
    prompt: str,
    instructions: str,
    temperature: float,
    on_text: Callable[[str], None] | None = None,
) -> Told:
    """What the first of the providers answers that does; with ``on_text`` the answer is streamed to it.

    Raises BudgetExceededError, ProvidersFailedError, ProvidersCoolingError.
    """
    from app.providers.asking import ask

    values: ModelSettings = {"max_tokens": metered.settings.max_tokens.value, "temperature": temperature}
    try:
        return await ask(metered.model, prompt, instructions, values, metered.secrets, on_text)
    except NobodyAnsweredError as failure:
        reasons = "; ".join(failure.reasons)
        if failure.retry_after is not None:
            raise ProvidersCoolingError(reasons=reasons, retry_after=max(failure.retry_after, 1)) from None
        raise ProvidersFailedError(reasons=reasons) from None
