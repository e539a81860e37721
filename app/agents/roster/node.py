"""The node agent: writes modules for JavaScript."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "rest_service": "Write the client in JavaScript",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("node", spec, _NAMES)


AGENT = Agent("Writes a client of the service for browsers and Node.", ("coder",), _tasks, write)
