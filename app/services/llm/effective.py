"""The settings that hold for one agent, resolved from those of the system, its project and itself.

Nothing else in the product reads a setting: whoever calls a model asks here.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Annotated, Generic, NamedTuple, TypeVar

from pydantic import Field

from app.context import Context
from app.contract.camel import CAMEL
from app.database.connections import ReadConnection
from app.errors import ModelPriceMissingError
from app.money import Nanos
from app.services.llm.history import Scope
from app.services.llm.levels import AgentSettings, ProjectSettings, read_levels
from app.services.llm.price_lookup import require_price
from app.services.llm.setting_values import Provider, agent_type_named
from app.services.llm.system_settings import SystemSettings

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Value(Generic[Kind]):
    """A value, and the level that it comes from."""

    value: Kind
    source: Scope


@dataclass(frozen=True, slots=True)
class Denial:
    """An error, by its code and in words."""

    __pydantic_config__ = CAMEL
    error_code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSettings:
    """The settings that hold; budgets are in 1e-9 USD, ``prompt`` is the text as it is sent.

    The second and the third provider are None where fewer different ones are set.
    """

    __pydantic_config__ = CAMEL
    agent_type: str | None
    provider: Value[Provider]
    model: Value[str]
    secondary_provider: Value[Provider | None]
    tertiary_provider: Value[Provider | None]
    gemini_model: Value[str]
    openai_model: Value[str]
    anthropic_model: Value[str]
    temperature: Value[float]
    max_tokens: Value[int]
    retries_per_provider: Value[int]
    monthly_budget: Value[Nanos]
    daily_budget: Value[Nanos]
    template_learning_enabled: Value[bool]
    cross_validation_enabled: Value[bool]
    cache_enabled: Value[bool]
    min_quality_score: Value[int]
    template_min_quality: Value[int]
    prompt: str
    denial: Annotated[Denial | None, Field(description="Why a call with these settings is refused.")] = None


class Choice(NamedTuple):
    """A provider with its model, and the levels that they come from."""

    provider: Value[Provider]
    model: Value[str]


async def effective_settings(ctx: Context, project_id: str, agent_type: str | None = None) -> EffectiveSettings:
    """What holds in a project, for one kind of agent or for any that has nothing of its own.

    Raises ValidationError naming ``agent``, ProjectNotFoundError.
    """
    named = None if agent_type is None else agent_type_named(agent_type, "agent")
    async with ctx.read() as conn:
        return resolve(*await read_levels(conn, project_id, named), named)


async def explained_settings(ctx: Context, project_id: str, agent_type: str | None = None) -> EffectiveSettings:
    """As ``effective_settings``, and why a call with them is refused, if it is."""
    settings = await effective_settings(ctx, project_id, agent_type)
    async with ctx.read() as conn:
        try:
            await require_price(conn, ctx, settings.provider.value, settings.model.value)
        except ModelPriceMissingError as error:
            return replace(settings, denial=Denial(error.code, error.detail))
    return settings


async def require_priced_model(
    conn: ReadConnection,
    ctx: Context,
    changed: Container[str],
    system: SystemSettings,
    project: ProjectSettings,
    agent: AgentSettings | None = None,
) -> None:
    """Raise ModelPriceMissingError if a change of these columns leads to a model without a price.

    A budget stands over every call, and cannot be kept without a price.
    """
    if "provider_override" in changed or "model_override" in changed:
        settings = resolve(system, project, agent)
        await require_price(conn, ctx, settings.provider.value, settings.model.value)


def resolve(
    system: SystemSettings,
    project: ProjectSettings | None = None,
    agent: AgentSettings | None = None,
    agent_type: str | None = None,
) -> EffectiveSettings:
    """Agent over project over system: the most specific value that is set holds, except of an agent that is off."""
    project = project or ProjectSettings()
    if agent is None or not agent.enabled:
        agent = AgentSettings(agent_type or "")
    choice = _choice(system, project, agent)
    second, third, *_ = (*_providers_after(choice.provider.value, system), None, None)
    return EffectiveSettings(
        agent_type=agent_type,
        provider=choice.provider,
        model=choice.model,
        secondary_provider=Value(second, "system"),
        tertiary_provider=Value(third, "system"),
        gemini_model=Value(system.gemini_model, "system"),
        openai_model=Value(system.openai_model, "system"),
        anthropic_model=Value(system.anthropic_model, "system"),
        temperature=_most_specific(system.temperature, project.temperature_override, agent.temperature_override),
        max_tokens=_most_specific(system.max_tokens, project.max_tokens_override, agent.max_tokens_override),
        retries_per_provider=Value(system.retries_per_provider, "system"),
        monthly_budget=_most_specific(system.monthly_budget, project.monthly_budget_override, None),
        daily_budget=Value(system.daily_budget, "system"),
        template_learning_enabled=Value(system.template_learning_enabled, "system"),
        cross_validation_enabled=Value(system.cross_validation_enabled, "system"),
        cache_enabled=Value(system.cache_enabled, "system"),
        min_quality_score=Value(system.min_quality_score, "system"),
        template_min_quality=Value(system.template_min_quality, "system"),
        prompt=_prompt(system, project, agent),
    )


def _most_specific(system: Kind, project: Kind | None, agent: Kind | None) -> Value[Kind]:
    if agent is not None:
        return Value(agent, "agent")
    return Value(system, "system") if project is None else Value(project, "project")


def _choice(system: SystemSettings, project: ProjectSettings, agent: AgentSettings) -> Choice:
    """The first provider and its model.

    A model belongs to the provider that holds at its level: where a more specific level chooses another provider and no
    model, the model is the system's of that provider.
    """
    provider: Value[Provider] = Value(system.primary_provider, "system")
    model = Value(system.model_of(provider.value), "system")
    levels: tuple[tuple[ProjectSettings | AgentSettings, Scope], ...] = ((project, "project"), (agent, "agent"))
    for level, source in levels:
        if level.provider_override is not None:
            if level.provider_override != provider.value:
                model = Value(system.model_of(level.provider_override), "system")
            provider = Value(level.provider_override, source)
        if level.model_override is not None:
            model = Value(level.model_override, source)
    return Choice(provider, model)


def _providers_after(first: Provider, system: SystemSettings) -> list[Provider]:
    """The system's providers in their order, each once, without the first."""
    in_order = (system.primary_provider, system.secondary_provider, system.tertiary_provider)
    return [provider for provider in dict.fromkeys(in_order) if provider != first]


def _prompt(system: SystemSettings, project: ProjectSettings, agent: AgentSettings) -> str:
    """The agent's prompt or else the system's, and the instructions of the project and of the agent behind it."""
    parts = (
        agent.custom_prompt or system.system_prompt,
        project.custom_instructions,
        agent.custom_instructions,
    )
    return "\n\n".join(part for part in parts if part and not part.isspace())
