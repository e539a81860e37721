"""Doing the tasks of runs: an errand takes one, lets its agent work, stores the files, and goes on with the next.

Objects are stored before the transaction that names them, so a manifest never names what is not there. An object that
no manifest names is removed with its run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import orjson
import structlog

from app.agents.work import (
    AgentFailedError,
    Brief,
    Job,
    LearnedTemplate,
    Outcome,
    PlannedTask,
    Sandbox,
    find_sandbox,
    objectives_of,
    work,
)
from app.context import Context
from app.errors import UnavailableError
from app.jobs.work import Errand
from app.runtime import Runtime
from app.services.llm.templates import list_templates
from app.services.projects.file_paths import FileLimits, judge_files
from app.services.runs import tasks
from app.services.runs.moves import MAX_TASKS, TASK
from app.services.runs.tasks import FileRow, Taken, TaskLostError

Answer = TypeVar("Answer")

# Seconds after which an errand leaves the run's next tasks to their own errands, so that other runs get on as well.
RUN_SECONDS: Final = 60.0
# Seconds between two questions whether a task may go on.
ASK_SECONDS: Final = 2.0
# Tasks at a time in one process.
AT_ONCE: Final = 4
# How many learned templates an agent may choose from.
LEARNED: Final = 50

log = structlog.get_logger(__name__)

# What a process knows of its machine's sandbox; looking for it starts processes.
_sandboxes: WeakKeyDictionary[Runtime, asyncio.Task[Sandbox | None]] = WeakKeyDictionary()


async def perform_task(ctx: Context, task_id: int) -> Mapping[str, object]:
    """Do the task, if it is still to be done, and then what is ready in the same run, for about a minute.

    Whatever is left has an errand of its own, which finds it done or does it.
    """
    if (place := await tasks.place_of(ctx, task_id)) is None:
        return {"state": "gone"}
    until, done = time.monotonic() + RUN_SECONDS, 0
    while time.monotonic() < until and (taken := await tasks.take_task(ctx, place, task_id)) is not None:
        try:
            await _do(ctx, taken)
        finally:
            tasks.let_go(ctx, taken)
        done += 1
    return {"tasks": done}


async def _do(ctx: Context, taken: Taken) -> None:
    """Let the agent work, and end the task by what comes of it."""
    task_log = log.bind(run=taken.run.id, task=taken.task.id, agent=taken.task.agent_type, attempt=taken.task.attempt)
    try:
        try:
            outcome, files = await _while_held(ctx, taken, _worked(ctx, taken))
        except AgentFailedError as failure:
            await tasks.fail_task(ctx, taken, failure.reason)
        except TimeoutError:
            minutes = ctx.runtime.settings.task_timeout_seconds / 60
            await tasks.fail_task(ctx, taken, f"It took longer than the {minutes:g} minutes that a task may take.")
        except UnavailableError as failure:
            await tasks.give_task_back(ctx, taken, str(failure))
            # The engine waits before it begins again.
            raise
        except TaskLostError:
            raise
        except Exception as failure:  # noqa: BLE001 - one broken agent must not end the errand of its run
            task_log.exception("task_broken")
            error = f"The agent has broken down ({type(failure).__name__})."
            if taken.task.attempt < tasks.MAX_ATTEMPTS:
                await tasks.give_task_back(ctx, taken, error)
            else:
                await tasks.fail_task(ctx, taken, f"It was begun {taken.task.attempt} times. {error}")
        else:
            await tasks.complete_task(ctx, taken, outcome, files)
    except TaskLostError:
        task_log.info("task_lost")


async def _while_held(ctx: Context, taken: Taken, working: Coroutine[Any, Any, Answer]) -> Answer:
    """What the work answers; it is stopped once the run has ended or somebody else has taken the task."""
    work_task = asyncio.create_task(working)
    try:
        async with asyncio.timeout(ctx.runtime.settings.task_timeout_seconds):
            while True:
                finished, _ = await asyncio.wait({work_task}, timeout=ASK_SECONDS)
                if finished:
                    return await work_task
                with contextlib.suppress(UnavailableError):
                    if not await tasks.is_still_held(ctx, taken):
                        raise TaskLostError
    finally:
        if not work_task.done():
            work_task.cancel()
            await asyncio.wait({work_task})


async def _worked(ctx: Context, taken: Taken) -> tuple[Outcome, list[FileRow]]:
    """What the agent has done, with its files stored; raises AgentFailedError for what may not be kept."""
    manifest = await tasks.files_of(ctx, taken.run)
    job = await _job(ctx, taken, manifest)
    outcome = await work(job, await _sandbox(ctx.runtime))
    if reason := _what_is_wrong(ctx, taken, manifest, outcome):
        raise AgentFailedError(reason)
    artifacts = ctx.runtime.artifacts
    files = [
        FileRow(path, await artifacts.put(taken.run.id, content), len(content))
        for path, content in outcome.files.items()
    ]
    return outcome, files


async def _job(ctx: Context, taken: Taken, manifest: list[FileRow]) -> Job:
    task, artifacts = taken.task, ctx.runtime.artifacts
    texts = orjson.loads(taken.run.brief)
    return Job(
        brief=Brief(**{**texts, "objectives": objectives_of(texts["objectives"])}),
        task=PlannedTask(
            task.key, task.agent_type, task.name, task.description, tuple(orjson.loads(task.needs)), task.priority
        ),
        files={file.path: await artifacts.get(taken.run.id, file.sha256, file.size) for file in manifest},
        qa_round=task.qa_round,
        qa_rounds=ctx.runtime.settings.qa_rounds,
        learned=await _learned(ctx),
    )


async def _learned(ctx: Context) -> list[LearnedTemplate]:
    """The best of the learned templates; none where learning is off."""
    best = await list_templates(ctx, by="quality_score", page_size=LEARNED)
    return [
        LearnedTemplate(
            template.template_id,
            template.name,
            template.task_pattern,
            tuple(tech for _, tech in sorted(orjson.loads(template.techs))),
            template.template_content,
            template.quality_score,
        )
        for template in best.rows
    ]


def _what_is_wrong(ctx: Context, taken: Taken, manifest: list[FileRow], outcome: Outcome) -> str | None:
    """Why what an agent has made cannot be kept; None if it can."""
    existing = {file.path: file.size for file in manifest if file.path not in outcome.removed}
    if reason := judge_files(existing, outcome.files, FileLimits.of(ctx.runtime.settings)):
        return reason
    if taken.run.total_tasks + len(outcome.tasks) > MAX_TASKS:
        return f"The plan has more than {MAX_TASKS} tasks: describe fewer objectives in one project."
    return None


async def _sandbox(runtime: Runtime) -> Sandbox | None:
    """The machine's sandbox, looked for once."""
    if (found := _sandboxes.get(runtime)) is None:
        found = _sandboxes[runtime] = asyncio.create_task(asyncio.to_thread(find_sandbox))
    return await asyncio.shield(found)


# A run of other kinds of errands never waits for these: they have a queue of their own.
TASKS: Final = Errand(TASK, perform_task, tasks.tasks_waiting, timeout_seconds=4 * 3600, at_once=AT_ONCE)
