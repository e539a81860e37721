"""The three rows that settings are made of, most general first, read together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import Field
from sqlalchemy.engine import Row

from app.contract.camel import CAMEL
from app.database.connections import ReadConnection
from app.errors import ProjectNotFoundError
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import DEFAULTS, SystemSettings
from sql.statements import settings as statements

Level = TypeVar("Level", SystemSettings, "ProjectSettings", "AgentSettings")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """What a project sets; None inherits. The budget is in 1e-9 USD."""

    provider_override: Provider | None = None
    model_override: str | None = None
    temperature_override: float | None = None
    max_tokens_override: int | None = None
    monthly_budget_override: int | None = None
    custom_instructions: str | None = None


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What one type of agent sets in a project; None inherits, and if it is not ``enabled``, so does everything.

    Without more than its type it is the agent that sets nothing and has no row.
    """

    __pydantic_config__ = CAMEL
    agent_type: str
    provider_override: Provider | None = None
    model_override: str | None = None
    temperature_override: float | None = None
    max_tokens_override: int | None = None
    custom_prompt: str | None = None
    custom_instructions: str | None = None
    enabled: bool = True
    # Only in the ETag: there are programs that send back what they read.
    version: Annotated[int, Field(exclude=True)] = 0
    updated_at: datetime | None = None


class Levels(NamedTuple):
    """The settings of the system, of a project, and of one kind of agent in it, if it has any."""

    system: SystemSettings
    project: ProjectSettings
    agent: AgentSettings | None


async def read_levels(conn: ReadConnection, project_id: str, agent_type: str | None) -> Levels:
    """All three with one statement; raises ProjectNotFoundError."""
    rows = await conn.rows(statements.setting_levels, project_id=project_id, agent_type=agent_type)
    if not rows:
        raise ProjectNotFoundError(project_id=project_id)
    (row,) = rows
    return levels_of(row)


def levels_of(row: Row[Any]) -> Levels:
    """The three of a row whose columns are labelled by their level; what has no row sets nothing."""
    return Levels(
        system=_level(row, "system", SystemSettings) if row.system_version is not None else DEFAULTS,
        project=_level(row, "project", ProjectSettings),
        agent=_level(row, "agent", AgentSettings) if row.agent_version is not None else None,
    )


def _level(row: Row[Any], level: str, record: type[Level]) -> Level:
    return record(**{field.name: getattr(row, f"{level}_{field.name}") for field in fields(record)})
