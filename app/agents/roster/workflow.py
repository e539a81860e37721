"""The workflow agent: writes how one works with the project."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "project": "Write the README and the check of everything",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("workflow", spec, _NAMES)


AGENT = Agent(
    "Writes the README, and one command that checks everything.",
    ("coder", "frontend", "integration", "node", "mobile"),
    _tasks,
    write,
)
