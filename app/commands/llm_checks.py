"""The doctor's checks of language models: which providers have a key, and which models have a price."""

from __future__ import annotations

from datetime import datetime

from app.commands.check_result import CheckResult
from app.context import Actor, Context
from app.runtime import Runtime
from app.services.llm.key_alerts import providers_that_refused
from app.services.llm.named_models import PROVIDERS, chosen_providers
from app.services.llm.prices import list_prices
from app.services.llm.provider_clients import VENDORS
from app.services.llm.setting_values import Provider
from app.settings import Settings, variable_of

CHECK = "model_prices"
DOCTOR = Actor("system", "doctor")
# Models that are named in one line; the others are counted.
MAX_TOLD = 5


async def provider_keys(runtime: Runtime) -> list[CheckResult]:
    """Whether each provider has a key; it is missing only where somebody has chosen the provider."""
    async with runtime.db.read() as conn:
        chosen = await chosen_providers(conn)
    refused = await providers_that_refused(Context(runtime, DOCTOR))
    return [
        _key(runtime.settings, provider, is_chosen=provider in chosen, refused_at=refused.get(provider))
        for provider in PROVIDERS
    ]


def _key(settings: Settings, provider: Provider, *, is_chosen: bool, refused_at: datetime | None) -> CheckResult:
    key, address = f"{VENDORS[provider]}_api_key", f"{VENDORS[provider]}_base_url"
    place = getattr(settings, address)
    at = f"; called at {place} ({variable_of(address)})" if place else ""
    if getattr(settings, key).get_secret_value() and refused_at is not None:
        when = refused_at.astimezone(settings.zone).isoformat(timespec="minutes")
        detail = f"has refused the key ({variable_of(key)}) at {when}; put it right and dismiss the alert{at}"
        return CheckResult(provider, "warning", detail)
    if getattr(settings, key).get_secret_value():
        return CheckResult(provider, "ok", f"has a key ({variable_of(key)}){at}")
    if is_chosen:
        return CheckResult(provider, "warning", f"is used by settings and has no key; set {variable_of(key)}{at}")
    return CheckResult(provider, "ok", f"has no key, and no setting that was made uses it{at}")


async def model_prices(runtime: Runtime) -> CheckResult:
    """Which models that the settings name have no price."""
    listed = await list_prices(Context(runtime, DOCTOR))
    missing = [price for price in listed.prices if price.missing]
    if not missing:
        return CheckResult(CHECK, "ok", "every model that the settings name has a price")
    told = ", ".join(f"{price.provider} {price.model}" for price in missing[:MAX_TOLD])
    more = f" and {len(missing) - MAX_TOLD} more" if len(missing) > MAX_TOLD else ""
    detail = (
        f"none for {told}{more}: no budget can be kept with {'it' if len(missing) == 1 else 'them'};"
        f" run: portal llm set-price {missing[0].provider} {missing[0].model} --input USD --output USD"
    )
    return CheckResult(CHECK, "warning", detail)
