"""What agents that write files have in common: a task for each template that has files of theirs, and mending them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.agents.catalogue import templates
from app.agents.inspection import inspect
from app.agents.job import AgentFailedError, Job, LearnedTemplate, Outcome, PlannedTask
from app.agents.learned import FOLDER, Addition, fitting
from app.agents.render import render
from app.agents.specification import Specification
from app.sandbox import Sandbox

# The key of the task that adds learned templates.
LEARNED = "learned"
# What the key of a task begins with that the qa agent has sent back.
MEND = "mend"


def writing_tasks(
    agent_type: str, spec: Specification, names: Mapping[str, str], priority: int = 2
) -> list[PlannedTask]:
    """A task for each template of the project with files of this agent; ``names`` are by kind."""
    return [
        PlannedTask(f"{agent_type}-{kind}", agent_type, names[kind], _paths(spec, kind, agent_type), (), priority)
        for kind in spec.kinds
        if agent_type in templates()[kind].agents() and render(spec, kind, agent_type)
    ]


def _paths(spec: Specification, kind: str, agent_type: str) -> str:
    return f"Write {', '.join(render(spec, kind, agent_type))}."


async def write(job: Job, spec: Specification, sandbox: Sandbox | None) -> Outcome:
    """Write the files of a task, or mend those that this agent has made."""
    del sandbox
    if job.task.key.startswith(MEND):
        return await _mend(job, spec)
    kind = job.task.key.removeprefix(f"{job.task.agent_type}-")
    if kind not in spec.kinds:
        raise AgentFailedError(f"The task {job.task.key} does not belong to this project; start the run again.")
    return written(await asyncio.to_thread(render, spec, kind, job.task.agent_type))


def written(files: Mapping[str, bytes], **outputs: Any) -> Outcome:
    """The outcome of writing these files."""
    noun = "file" if len(files) == 1 else "files"
    return Outcome(files, outputs={"files_created": sorted(files), **outputs}, message=f"{len(files)} {noun} written")


async def _mend(job: Job, spec: Specification) -> Outcome:
    """Write again what is changed or missing, and drop learned templates that are defective or suspicious."""
    own = await asyncio.to_thread(files_of, spec, job.task.agent_type)
    added = [path for path in job.files if path.startswith(f"{FOLDER}/")] if job.task.agent_type == "coder" else []
    inspected = await inspect({path: job.files[path] for path in added})
    dropped = {path: (*found.problems, *found.findings) for path, found in inspected.items() if any(found)}
    again = {path: content for path, content in own.items() if job.files.get(path) != content}
    message = f"{len(again)} written again, {len(dropped)} dropped"
    outputs = {"files_modified": sorted(again), "dropped": {path: list(why) for path, why in dropped.items()}}
    return Outcome(again, tuple(sorted(dropped)), outputs, message=message)


def files_of(spec: Specification, agent_type: str) -> dict[str, bytes]:
    """All files of the project that an agent makes of templates."""
    files: dict[str, bytes] = {}
    for kind in spec.kinds:
        if agent_type in templates()[kind].agents():
            files |= render(spec, kind, agent_type)
    return files


class Made(NamedTuple):
    """Which agent makes a file, and what it writes."""

    agent_type: str
    content: bytes


def expected(spec: Specification, learned: Sequence[LearnedTemplate]) -> dict[str, Made]:
    """All files that agents make, by path; reports of checks are none of them."""
    made = {
        path: Made(agent_type, content)
        for agent_type in agents_of(spec)
        for path, content in files_of(spec, agent_type).items()
    }
    return made | {each.path: Made("coder", learned_content(each)) for each in fitting(spec, learned)}


def agents_of(spec: Specification) -> list[str]:
    """The types of agents that write files of the project's templates."""
    return sorted({agent_type for kind in spec.kinds for agent_type in templates()[kind].agents()})


def learned_content(addition: Addition) -> bytes:
    """The file that a learned template becomes."""
    return addition.template.content.encode("utf-8", "replace")
