"""The system's settings: what holds wherever no project and no agent has a value of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final

from pydantic import Field

from app.context import Context
from app.contract.camel import CAMEL
from app.database.connections import ReadConnection, WriteConnection
from app.errors import VersionConflictError
from app.events import Event, EventType, record
from app.money import NANOS_PER_USD, Nanos
from app.services.llm.history import differences, record_setting_changes
from app.services.llm.price_lookup import require_price
from app.services.llm.setting_values import Provider
from sql.statements import settings as statements

# The columns that name the model of each provider.
MODELS: Final[Mapping[Provider, str]] = {
    "gemini": "gemini_model",
    "openai": "openai_model",
    "anthropic": "anthropic_model",
}


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """The system's settings; budgets are in 1e-9 USD, ``version`` counts the changes."""

    __pydantic_config__ = CAMEL
    primary_provider: Provider
    secondary_provider: Provider
    tertiary_provider: Provider
    gemini_model: str
    openai_model: str
    anthropic_model: str
    temperature: float
    max_tokens: int
    retries_per_provider: int
    monthly_budget: Nanos
    daily_budget: Nanos
    template_learning_enabled: bool
    cross_validation_enabled: bool
    cache_enabled: bool
    min_quality_score: int
    template_min_quality: int
    system_prompt: str
    # Only in the ETag: there are programs that send back what they read.
    version: Annotated[int, Field(exclude=True)]

    def model_of(self, provider: Provider) -> str:
        """The model that is used of a provider."""
        model: str = getattr(self, MODELS[provider])
        return model


# What holds until the first change, which stores a row.
DEFAULTS = SystemSettings(
    primary_provider="gemini",
    secondary_provider="openai",
    tertiary_provider="anthropic",
    gemini_model="gemini-2.5-flash",
    openai_model="gpt-4o",
    anthropic_model="claude-3-5-sonnet-20250219",
    temperature=0.7,
    max_tokens=4096,
    retries_per_provider=3,
    monthly_budget=1000 * NANOS_PER_USD,
    daily_budget=50 * NANOS_PER_USD,
    template_learning_enabled=True,
    cross_validation_enabled=True,
    cache_enabled=True,
    min_quality_score=95,
    template_min_quality=90,
    system_prompt="",
    version=0,
)


def defaults_of(*names: str) -> dict[str, Any]:
    """The defaults of these settings, as parameters of statements that read the stored row themselves."""
    return {f"default_{name}": getattr(DEFAULTS, name) for name in names}


async def system_settings(ctx: Context) -> SystemSettings:
    """The system's settings."""
    async with ctx.read() as conn:
        return await read_system_settings(conn)


async def read_system_settings(conn: ReadConnection) -> SystemSettings:
    """The system's settings; the defaults until something was changed."""
    return await conn.maybe(statements.system_settings_row, SystemSettings) or DEFAULTS


async def update_system_settings(
    ctx: Context, changes: Mapping[str, Any], expected: frozenset[int] | None = None
) -> SystemSettings:
    """Set these columns, money in 1e-9 USD; what differs is written with its history and makes a new version.

    Raises VersionConflictError if other versions than the stored one are expected, ModelPriceMissingError for another
    model that has no price; then nothing has changed.
    """
    async with ctx.write() as conn:
        stored = await _locked(conn, ctx, changes)
        if expected is not None and stored.version not in expected:
            raise VersionConflictError(version=stored.version)
        if not (changed := differences(stored, changes)):
            return stored
        new_values = {name: change.new for name, change in changed.items()}
        for provider, column in MODELS.items():
            if column in new_values:
                await require_price(conn, ctx, provider, new_values[column])
        version = stored.version + 1
        await conn.affected(statements.set_system_settings, **new_values, version=version, updated_at=ctx.now())
        await record_setting_changes(conn, ctx, "system", changed, version=version)
        metadata = {"scope": "system", "fields": list(changed), "version": version}
        await record(conn, ctx, Event(EventType.CONFIG_UPDATED, "System settings updated", metadata=metadata))
    return replace(stored, **new_values, version=version)


async def _locked(conn: WriteConnection, ctx: Context, changes: Mapping[str, Any]) -> SystemSettings:
    """The row, locked until the transaction ends; it is stored if it is not there and something is to change."""
    stored = await conn.maybe(statements.system_settings_row_locked, SystemSettings)
    if stored is None:
        if not differences(DEFAULTS, changes):
            return DEFAULTS
        await conn.affected(statements.insert_system_settings, **asdict(DEFAULTS), id=1, updated_at=ctx.now())
        # Another transaction may have stored it meanwhile, and have changed it.
        stored = await conn.one(statements.system_settings_row_locked, SystemSettings)
    return stored
