"""The agents: each module of ``app/agents/roster`` is one, and its name is the agent's type."""

from __future__ import annotations

import pkgutil
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module

from app.agents import roster
from app.agents.agent import Agent


@cache
def agents() -> dict[str, Agent]:
    """All agents by type, each after those whose tasks come before its own. Raises CycleError, LookupError."""
    found: dict[str, Agent] = {
        module.name: import_module(f"{roster.__name__}.{module.name}").AGENT
        for module in pkgutil.iter_modules(roster.__path__)
    }
    order = TopologicalSorter({agent_type: sorted(agent.after) for agent_type, agent in sorted(found.items())})
    ordered = list(order.static_order())
    if unknown := set(ordered) - set(found):
        raise LookupError(f"No such agents: {', '.join(sorted(unknown))}")
    return {agent_type: found[agent_type] for agent_type in ordered}
