"""Settings for language models: the system's, those of agents, what holds for an agent, and the history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

import orjson
from pydantic import Field
from pydantic.alias_generators import to_camel, to_snake

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.api_document import LARGE_BODY
from app.contract.camel import AS_NAMED, CAMEL
from app.money import to_usd
from app.services.llm import agent_settings, effective, history_list, system_settings
from app.services.llm.effective import EffectiveSettings
from app.services.llm.history import Scope
from app.services.llm.history_list import MAX_CHANGES, Chosen, SettingChange
from app.services.llm.levels import AgentSettings
from app.services.llm.setting_values import MONEY, SystemValues
from app.services.llm.system_settings import SystemSettings
from blueprints.llm_management import api
from blueprints.llm_management.overrides import (
    MaxTokensOverride,
    ModelOverride,
    PromptOverride,
    ProviderOverride,
    TemperatureOverride,
)
from blueprints.web.fields import NO_NUL, CamelChanges, CamelRequest, Moment, RequestModel
from blueprints.web.versions import Versioned
from sql.tables.projects import MAX_PROJECT_ID

READER, WRITER = operator(Permission.LLM_SETTINGS_READ), operator(Permission.LLM_SETTINGS_WRITE)
PROJECT_IN_PATH = {"project_id": "The project's id."}
AGENT_IN_PATH = {**PROJECT_IN_PATH, "agent_type": "The type of agent, in any letter case."}
Text = Annotated[str, Field(max_length=50, pattern=NO_NUL)]


class SystemUpdate(SystemValues, CamelRequest):
    """All of the system's settings."""


class AgentUpdate(CamelChanges):
    """What changes of an agent's settings; what is absent stays as it is."""

    provider_override: ProviderOverride = None
    model_override: ModelOverride = None
    temperature_override: TemperatureOverride = None
    max_tokens_override: MaxTokensOverride = None
    custom_prompt: PromptOverride = None
    custom_instructions: PromptOverride = None
    enabled: Annotated[bool, Field(description="An agent's settings that are off inherit everything.")] = True


class EffectiveQuery(RequestModel):
    """For whom the settings hold."""

    agent: Annotated[Text | None, Field(description="The type of agent; absent: any that has none of its own.")] = None


class HistoryQuery(RequestModel):
    """Which changes, from where on."""

    scope: Annotated[Scope | None, Field(description="Whose settings were changed.")] = None
    project_id: Annotated[
        str | None, Field(max_length=MAX_PROJECT_ID, pattern=NO_NUL, description="The project's id.")
    ] = None
    agent_type: Annotated[Text | None, Field(description="The type of agent.")] = None
    field: Annotated[Text | None, Field(description="`maxTokens` or `max_tokens`, ...")] = None
    actor: Annotated[
        str | None, Field(max_length=255, pattern=NO_NUL, description="The actor's name, as changes show it.")
    ] = None
    since: Annotated[Moment | None, Field(description="The first moment, with an offset.")] = None
    until: Annotated[Moment | None, Field(description="The first moment after, with an offset.")] = None
    cursor: Annotated[str | None, Field(max_length=100, description="`next_cursor` of the page before.")] = None
    page_size: Annotated[int, Field(ge=1, le=MAX_CHANGES, description="Changes on a page.")] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedChange:
    """One field that was changed, with its values before and after; money is in USD."""

    __pydantic_config__ = CAMEL
    id: int
    scope: Scope
    project_id: str | None
    agent_type: str | None
    field: str
    old_value: str | bool | int | float | None
    new_value: str | bool | int | float | None
    version: Annotated[int, Field(description="What the change has made: the ETag from then on.")]
    actor_type: str
    actor_name: str
    changed_at: datetime

    @classmethod
    def of(cls, change: SettingChange) -> ListedChange:
        """The answer about a change."""
        values = {name: _value(change.field, getattr(change, name)) for name in ("old_value", "new_value")}
        return cls(**change._asdict() | values | {"field": to_camel(change.field)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage:
    """A page, and where the next one begins; None at the end."""

    __pydantic_config__ = AS_NAMED
    changes: list[ListedChange]
    next_cursor: str | None


def _value(field: str, stored: str) -> Any:
    value = orjson.loads(stored)
    return to_usd(value) if field in MONEY and value is not None else value


@api.operation("GET", "/system", caller=READER, answers=SystemSettings, versioned=True)
async def system(ctx: Context) -> Versioned:
    """The system's settings, which hold wherever no project and no agent has its own.

    Budgets are in USD.
    """
    found = await system_settings.system_settings(ctx)
    return Versioned(found, found.version)


@api.operation(
    "PUT",
    "/system",
    caller=WRITER,
    body=SystemUpdate,
    max_body=LARGE_BODY,
    answers=SystemSettings,
    errors=(errors.ModelPriceMissingError,),
    versioned=True,
)
async def update_system(ctx: Context, body: SystemUpdate, expected: frozenset[int] | None) -> Versioned:
    """Set the system's settings, all of them; every field that differs is written into the history.

    A provider may stand in several places; it is asked once. Budgets are in USD, with at most nine decimals. Another
    model needs a price, because a budget cannot be kept without one.
    """
    updated = await system_settings.update_system_settings(ctx, body.as_stored(), expected)
    return Versioned(updated, updated.version)


@api.operation(
    "GET",
    "/projects/{project_id}/agents/{agent_type}",
    caller=READER,
    answers=AgentSettings,
    errors=(errors.ValidationError, errors.ProjectNotFoundError, errors.AgentSettingsNotFoundError),
    path_parameters=AGENT_IN_PATH,
    versioned=True,
)
async def agent(ctx: Context, project_id: str, agent_type: str) -> Versioned:
    """What one type of agent has of its own in a project; null inherits."""
    found = await agent_settings.agent_settings(ctx, project_id, unquote(agent_type))
    return Versioned(found, found.version)


@api.operation(
    "PUT",
    "/projects/{project_id}/agents/{agent_type}",
    caller=WRITER,
    body=AgentUpdate,
    max_body=None,
    answers=AgentSettings,
    errors=(errors.ProjectNotFoundError, errors.ModelPriceMissingError),
    path_parameters=AGENT_IN_PATH,
    versioned=True,
)
async def update_agent(
    ctx: Context, body: AgentUpdate, expected: frozenset[int] | None, project_id: str, agent_type: str
) -> Versioned:
    """Give one type of agent in a project settings of its own; what is absent stays, null or a blank inherits.

    Every field that differs is written into the history. `If-Match: "0"` expects an agent without any.
    """
    agent_type = unquote(agent_type)
    updated = await agent_settings.update_agent_settings(ctx, project_id, agent_type, body.changes(), expected)
    return Versioned(updated, updated.version)


@api.operation(
    "GET",
    "/projects/{project_id}/effective",
    caller=READER,
    query=EffectiveQuery,
    answers=EffectiveSettings,
    errors=(errors.ProjectNotFoundError,),
    path_parameters=PROJECT_IN_PATH,
)
async def effective_settings(ctx: Context, query: EffectiveQuery, project_id: str) -> EffectiveSettings:
    """The settings that hold for a project's agent: each with its source, and the prompt as it is sent.

    Agent comes before project before system. Every call of a model obeys exactly these.
    """
    return await effective.explained_settings(ctx, project_id, query.agent)


@api.operation("GET", "/history", caller=READER, query=HistoryQuery, answers=ChangePage)
async def history(ctx: Context, query: HistoryQuery) -> ChangePage:
    """Who has changed which setting from what to what, newest first, one page at a time.

    Going on with `next_cursor` neither skips nor repeats a change that was there at the beginning.
    """
    chosen = Chosen(
        scope=query.scope,
        project_id=query.project_id,
        agent_type=query.agent_type,
        field=None if query.field is None else to_snake(query.field),
        actor=query.actor,
        since=query.since,
        until=query.until,
    )
    page = await history_list.list_setting_changes(ctx, chosen, cursor=query.cursor, page_size=query.page_size)
    return ChangePage(changes=[ListedChange.of(change) for change in page.changes], next_cursor=page.next_cursor)
