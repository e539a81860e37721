"""Planning a project and doing one task of it: what the rest of the product calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.agents.job import AgentFailedError, Brief, Job, LearnedTemplate, Outcome, PlannedTask, objectives_of
from app.agents.planning import planned
from app.agents.registry import agents
from app.agents.specification import specify
from app.sandbox import Sandbox, find_sandbox

__all__ = [
    "FIRST_TASK",
    "AgentFailedError",
    "Brief",
    "Job",
    "LearnedTemplate",
    "Outcome",
    "PlannedTask",
    "Sandbox",
    "find_sandbox",
    "objectives_of",
    "plan",
    "work",
]

# Every run begins with it; the tasks of its outcome are the plan.
FIRST_TASK = PlannedTask(
    "plan", "orchestrator", "Plan the project", "Read the objectives, and decide which agent does what.", (), 1
)


def plan(brief: Brief, learned: Sequence[LearnedTemplate] = ()) -> list[PlannedTask]:
    """The tasks of a run after its first, in an order in which they could be done.

    Raises AgentFailedError if no template covers any objective.
    """
    return planned(specify(brief), learned)


async def work(job: Job, sandbox: Sandbox | None) -> Outcome:
    """Do one task. Raises AgentFailedError; a cancelled call leaves no process behind.

    The same job has the same outcome, but for what the sandbox says of tests. Without a sandbox the project's tests
    are not run, and the outcome says so.
    """
    agent = agents().get(job.task.agent_type)
    if agent is None:
        raise AgentFailedError(f"There is no agent of the type {job.task.agent_type}.")
    spec = await asyncio.to_thread(specify, job.brief)
    return await agent.work(job, spec, sandbox)
