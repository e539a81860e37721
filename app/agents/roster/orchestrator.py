"""The orchestrator: reads the objectives and decides which agent does what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.job import Job, LearnedTemplate, Outcome, PlannedTask
from app.agents.planning import planned
from app.agents.specification import Specification
from app.sandbox import Sandbox


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    """None: its task is the one that makes the others."""
    return []


async def _work(job: Job, spec: Specification, sandbox: Sandbox | None) -> Outcome:
    tasks = await asyncio.to_thread(planned, spec, job.learned)
    covered = sum(objective.status != "not covered" for objective in spec.objectives)
    outputs = {
        "templates": list(spec.products),
        "objectives": [
            {"number": each.number, "status": each.status, "not_understood": list(each.left)}
            for each in spec.objectives
        ],
        "assumptions": list(spec.assumptions),
    }
    message = f"{len(tasks)} tasks; {covered} of {len(spec.objectives)} objectives are covered"
    return Outcome(outputs=outputs, tasks=tuple(tasks), message=message)


AGENT = Agent("Reads the objectives, and decides which agent does what.", (), _tasks, _work)
