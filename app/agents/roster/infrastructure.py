"""The infrastructure agent: writes how the project is packed and started elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "project": "Write the package and its container",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("infrastructure", spec, _NAMES)


AGENT = Agent("Writes the package's declaration and a container's.", ("coder", "frontend"), _tasks, write)
