"""The mobile agent: writes what phones need of a site."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import LearnedTemplate, PlannedTask
from app.agents.specification import Specification
from app.agents.writing import write, writing_tasks

_NAMES = {
    "static_site": "Write the manifest for phones",
}


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return writing_tasks("mobile", spec, _NAMES)


AGENT = Agent("Writes the manifest with which phones keep a site.", ("frontend",), _tasks, write)
