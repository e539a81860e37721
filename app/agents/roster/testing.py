"""The testing agent: writes the tests of the project and of each objective."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "project": "Write the tests of the objectives",
    "records": "Write the tests of what is kept",
    "rest_service": "Write the tests of the service",
    "command_line_tool": "Write the tests of the tool",
    "data_import": "Write the tests of the import",
    "static_site": "Write the tests of the site",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("testing", spec, _NAMES)


AGENT = Agent(
    "Writes tests: of each part, and at least one of each objective.",
    ("coder", "frontend", "integration", "node", "mobile"),
    _tasks,
    write,
)
