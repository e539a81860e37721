"""The frontend agent: writes the pages of a site."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "static_site": "Write the pages of the site",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("frontend", spec, _NAMES)


AGENT = Agent("Writes pages, their style and their icon.", ("researcher",), _tasks, write)
