"""The integration agent: writes what connects the project with others."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "rest_service": "Describe the service for other programs",
    "data_import": "Write examples of files to import",
    "static_site": "Tell search engines about the site",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("integration", spec, _NAMES)


AGENT = Agent("Writes descriptions and examples for other programs.", ("coder", "frontend"), _tasks, write)
