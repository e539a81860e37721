"""What an agent is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from app.agents.job import Job, LearnedTemplate, Outcome, PlannedTask
from app.agents.specification import Specification
from app.sandbox import Sandbox


class Agent(NamedTuple):
    """An agent of the type that its module is named after.

    ``does`` is a sentence. ``after`` are types of agents whose tasks are done before its own. ``tasks`` answers what it
    has to do for a project, without needs; ``work`` does one of these tasks, or mends what it has made.
    """

    does: str
    after: tuple[str, ...]
    tasks: Callable[[Specification, Sequence[LearnedTemplate]], list[PlannedTask]]
    work: Callable[[Job, Specification, Sandbox | None], Awaitable[Outcome]]
