"""The plan of a run: the tasks of all agents, each after those that it builds upon."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter

from app.agents.catalogue import templates
from app.agents.job import AgentFailedError, LearnedTemplate, PlannedTask
from app.agents.registry import agents
from app.agents.specification import Specification


def planned(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    """The tasks, in an order in which they could be done.

    Raises AgentFailedError if no template covers any objective.
    """
    if not spec.kinds:
        raise AgentFailedError(_nothing_covered(spec))
    tasks: dict[str, list[PlannedTask]] = {}
    for agent_type, agent in agents().items():
        needs = tuple(task.key for before in agent.after for task in tasks[before])
        tasks[agent_type] = [task._replace(needs=needs) for task in agent.tasks(spec, learned)]
    by_key = {task.key: task for made in tasks.values() for task in made}
    # Raises CycleError if an agent is before itself, which would be our fault.
    return [by_key[key] for key in TopologicalSorter({task.key: task.needs for task in by_key.values()}).static_order()]


def _nothing_covered(spec: Specification) -> str:
    titles = [template.title for template in templates().values() if template.words]
    what = "There is no objective" if not spec.objectives else "No template covers any of the objectives"
    return f"{what}. Say what is to be built: a {', a '.join(titles[:-1])} or a {titles[-1]}, and of what."
