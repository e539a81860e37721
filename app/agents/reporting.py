"""What the report of a project says beside its objectives: counts, checks, and how each test has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from app.agents.catalogue import templates
from app.agents.coverage import Use
from app.agents.quality import Quality
from app.agents.specification import Specification
from app.agents.trial import Trial


def report_values(spec: Specification, quality: Quality, trial: Trial, learned: Sequence[str]) -> dict[str, Any]:
    """The values of the template of the report."""
    counts = Counter(objective.status for objective in spec.objectives)
    return {
        "counts": {
            "covered": counts["covered"],
            "partly": counts["partly covered"],
            "none": counts["not covered"],
        },
        "verdict": _verdict(trial),
        "where": _where,
        "ending": lambda name: _ending(trial, name),
        "checks": _checks(quality, trial),
        "learned": learned,
    }


def _verdict(trial: Trial) -> str:
    if trial.endings is None:
        return f"The tests were not run, {trial.reason}."
    return "All tests passed." if not trial.skipped else "All tests that can be run passed."


def _where(use: Use) -> str:
    return templates()[use.kind].capability(use.capability).where


def _ending(trial: Trial, name: str) -> str:
    if trial.endings is None:
        return ", which was not run"
    return f", which {'was ' if trial.endings.get(name) == 'skipped' else ''}{trial.endings.get(name, 'was not found')}"


def _checks(quality: Quality, trial: Trial) -> list[str]:
    tests = f"The project's own tests were not run, {trial.reason}; the figure is about the other checks."
    if trial.endings is not None:
        tests = f"The project's own tests: {trial.run} run, {trial.failed} failed, {trial.skipped} skipped."
    return [
        f"{quality.checks - len(quality.problems)} of {quality.checks} checks passed: {quality.percent:g} %.",
        "Every file parses, nothing is suspicious, no part is missing, each objective has a test and is in README.md.",
        tests,
    ]
