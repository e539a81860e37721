"""The researcher: writes down how the objectives were understood."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "project": "Specify what the objectives ask for",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("researcher", spec, _NAMES, priority=1)


AGENT = Agent("Writes the specification: entities, fields, pages, and what was assumed.", (), _tasks, write)
