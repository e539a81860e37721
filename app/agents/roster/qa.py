"""The qa agent: computes the quality of the project, and sends back what another agent can mend."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from app.agents.agent import Agent
from app.agents.inspection import inspect
from app.agents.job import AgentFailedError, Job, LearnedTemplate, Outcome, PlannedTask
from app.agents.learned import FOLDER, fitting
from app.agents.quality import Quality, measured
from app.agents.render import report
from app.agents.reporting import report_values
from app.agents.specification import Specification
from app.agents.trial import Trial, try_out
from app.agents.writing import MEND, Made, expected, learned_content
from app.sandbox import Sandbox

REPORT = "REPORT.md"


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    return [_check(1, ())]


def _check(number: int, needs: tuple[str, ...]) -> PlannedTask:
    round_ = "" if number == 1 else f", round {number}"
    description = f"Parse every file, run the project's tests, compare with the objectives, and write {REPORT}."
    return PlannedTask(f"qa-{number}", "qa", f"Check the quality{round_}", description, needs, 1)


async def _work(job: Job, spec: Specification, sandbox: Sandbox | None) -> Outcome:
    files = {path: content for path, content in job.files.items() if path != REPORT}
    inspected = await inspect(files)
    made = await asyncio.to_thread(expected, spec, job.learned)
    is_sound = not any(each.problems for each in inspected.values())
    trial = await try_out(files, sandbox) if is_sound else Trial(None, "because a file is defective")
    quality = measured(spec, files, inspected, trial, made)
    if quality.problems:
        return _sent_back(job, spec, quality, trial, made)
    values = report_values(spec, quality, trial, await _learned_lines(job, spec))
    content = await asyncio.to_thread(report, spec, REPORT, values)
    return Outcome({REPORT: content}, outputs=_outputs(spec, quality, trial), message=quality.message(trial))


def _sent_back(job: Job, spec: Specification, quality: Quality, trial: Trial, made: Mapping[str, Made]) -> Outcome:
    """What the agents that can mend it get; fails if there is none, or if it has been sent back often enough."""
    by_agent: dict[str, list[str]] = {}
    for problem in quality.problems:
        for path in problem.paths:
            if agent_type := _mender_of(path, made):
                by_agent.setdefault(agent_type, []).append(f"{path}: {problem.reason}")
    first = quality.problems[0].text
    if job.qa_round >= job.qa_rounds:
        raise AgentFailedError(f"After {job.qa_round} rounds of mending there is still something wrong. {first}.")
    if not by_agent:
        raise AgentFailedError(f"Something is wrong that no agent can mend. {first}.")
    number = job.qa_round + 1
    mending = [
        PlannedTask(
            f"{MEND}-{number}-{agent_type}",
            agent_type,
            f"Mend what the check has found, round {number}",
            "\n".join(dict.fromkeys(reasons))[:2000],
            (),
            1,
        )
        for agent_type, reasons in sorted(by_agent.items())
    ]
    keys = tuple(task.key for task in mending)
    again = PlannedTask(
        f"security-{number + 1}",
        "security",
        f"Look for what attackers like, round {number + 1}",
        "Read every file again.",
        keys,
        2,
    )
    count = len(quality.problems)
    message = f"{count} {'problem' if count == 1 else 'problems'} sent back, round {number} of {job.qa_rounds}: {first}"
    return Outcome(
        outputs=_outputs(spec, quality, trial),
        tasks=(*mending, again, _check(number + 1, (*keys, again.key))),
        message=message[:500],
    )


def _outputs(spec: Specification, quality: Quality, trial: Trial) -> dict[str, Any]:
    return {
        "structure_analysis": {
            "is_complete": not quality.missing,
            "missing_components": list(quality.missing),
            "not_covered": [each.text for each in spec.objectives if each.status == "not covered"],
            "partly_covered": [each.text for each in spec.objectives if each.status == "partly covered"],
        },
        "tests": trial.as_json(),
        "quality": {"percent": quality.percent, "checks": quality.checks, "failed": len(quality.problems)},
        "problems": [problem.text for problem in quality.problems],
        "report": REPORT if not quality.problems else None,
    }


def _mender_of(path: str, made: Mapping[str, Made]) -> str | None:
    """Who mends a file; a learned template may have been deleted since its file was written."""
    if path in made:
        return made[path].agent_type
    return "coder" if path.startswith(f"{FOLDER}/") else None


async def _learned_lines(job: Job, spec: Specification) -> list[str]:
    """What has become of each learned template that fits."""
    additions = fitting(spec, job.learned)
    absent = await inspect({each.path: learned_content(each) for each in additions if each.path not in job.files})
    lines = []
    for addition in additions:
        numbers = ", ".join(map(str, addition.objectives))
        ending = "added"
        if addition.path in absent:
            reasons = [reason for found in absent[addition.path] for reason in found]
            ending = f"left out: {reasons[0]}" if reasons else "learned too late"
        lines.append(f"`{addition.path}`, for objective {numbers}: {ending}")
    return lines


AGENT = Agent(
    "Parses every file, runs the project's tests in a sandbox, and sends back what another agent can mend.",
    ("security", "testing", "infrastructure", "workflow"),
    _tasks,
    _work,
)
