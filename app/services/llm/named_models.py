"""The models and the providers that the current settings name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.database.connections import ReadConnection, as_batch
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import SystemSettings, read_system_settings
from sql.statements import model_prices as statements

# More models than anybody names. One more is read, which says that there are more.
MAX_NAMED = 1000
PROVIDERS: tuple[Provider, ...] = ("gemini", "openai", "anthropic")


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that settings name, and the operator's own price of it in 1e-9 USD for a million tokens, if any."""

    provider: Provider
    model: str
    input_price: int | None
    cached_input_price: int | None
    output_price: int | None
    updated_at: datetime | None
    updated_by: str | None


async def named_models(conn: ReadConnection) -> list[NamedModel]:
    """The system's model of each provider, and those that projects and agents name, by provider and name.

    A model that is named without a provider is one of the provider that holds there.
    """
    system = await read_system_settings(conn)
    batch = as_batch([{"provider": provider, "model": system.model_of(provider)} for provider in PROVIDERS])
    return await conn.many(
        statements.named_models, NamedModel, batch=batch, primary_provider=system.primary_provider, size=MAX_NAMED + 1
    )


async def chosen_providers(conn: ReadConnection) -> set[str]:
    """The providers that somebody has chosen: for the system, a project or an agent; not those of the defaults."""
    system = await read_system_settings(conn)
    chosen = await conn.many(statements.chosen_providers, str)
    return {*chosen, *(_in_order(system) if system.version else ())}


def _in_order(system: SystemSettings) -> tuple[Provider, ...]:
    return system.primary_provider, system.secondary_provider, system.tertiary_provider
