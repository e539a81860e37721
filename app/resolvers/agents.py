"""Agents: the kinds that have had tasks."""

from __future__ import annotations

from typing import Any

from ariadne import EnumType, QueryType

from app.resolvers.context import Info
from app.services.progress.agents import list_agents
from app.services.progress.records import AgentProgress
from sql.tables.llm import AGENT_TYPES

agent_types = EnumType("AgentType", {name.upper(): name for name in AGENT_TYPES})
query = QueryType()


@query.field("agents")
async def resolve_agents(_: Any, info: Info, *, agent_type: str | None, min_health: float) -> list[AgentProgress]:
    """The kinds of agents that have had tasks."""
    return await list_agents(info.context.ctx, agent_type=agent_type, min_health=min_health)
