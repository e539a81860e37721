"""The quality of a project: which of its checks have passed, and what is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.agents import learned
from app.agents.inspection import Inspection
from app.agents.render import name_of_test
from app.agents.specification import Specification
from app.agents.trial import Trial
from app.agents.writing import Made

_TESTS = "tests/test_objectives.py"
_README = "README.md"


class Problem(NamedTuple):
    """What is wrong, and with which files."""

    reason: str
    paths: tuple[str, ...]

    @property
    def text(self) -> str:
        """The problem as a sentence without its full stop."""
        return f"{', '.join(self.paths[:3])}: {self.reason}" if self.paths else self.reason


class Quality(NamedTuple):
    """``checks`` counts what was checked, ``missing`` names what ought to be there."""

    checks: int
    problems: tuple[Problem, ...]
    missing: tuple[str, ...]

    @property
    def percent(self) -> float:
        """Checks that have passed, of all: 0 to 100 with two decimals."""
        return round(100 * (self.checks - len(self.problems)) / self.checks, 2) if self.checks else 0.0

    def message(self, trial: Trial) -> str:
        """The result in a line."""
        tests = f"{trial.run} tests passed" if trial.has_passed else f"tests not run, {trial.reason}"
        if trial.has_passed and trial.skipped:
            tests = f"{trial.run - trial.skipped} tests passed, {trial.skipped} skipped"
        return f"quality {self.percent:g} %: {self.checks} checks; {tests}"


def measured(
    spec: Specification,
    files: Mapping[str, bytes],
    inspected: Mapping[str, Inspection],
    trial: Trial,
    made: Mapping[str, Made],
) -> Quality:
    """Every file is a check that it parses and one that it is not suspicious, each part and each objective is one.

    The project's own tests are checks if they were run. Where they were not, they are no part of the figure.
    """
    missing = tuple(path for path in made if path not in files and not path.startswith(f"{learned.FOLDER}/"))
    problems = [Problem("it is missing", (path,)) for path in missing]
    for path, found in sorted(inspected.items()):
        problems += [Problem("; ".join(messages), (path,)) for messages in found if messages]
    absent = [each for each in _of_objectives(spec, files) if each.paths[0] not in missing]
    problems += absent
    checks = len(made) + 2 * len(inspected) + 2 * len(spec.objectives)
    if trial.endings is not None:
        checks += max(1, trial.run)
        problems += _failed(
            trial, tuple(path for path, each in made.items() if files.get(path, each.content) != each.content)
        )
    return Quality(checks, tuple(problems), (*missing, *(each.reason for each in absent)))


def _of_objectives(spec: Specification, files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Objectives without a test, and those that the README does not name."""
    readme = files.get(_README, b"").decode(errors="replace")
    tested = _functions(files.get(_TESTS, b""))
    for objective in spec.objectives:
        names = [name_of_test(objective, use) for use in objective.uses] or [name_of_test(objective)]
        if not tested.issuperset(names):
            yield Problem(f"objective {objective.number} has no test", (_TESTS,))
        if objective.text not in readme:
            yield Problem(f"objective {objective.number} is not named", (_README,))


def _functions(content: bytes) -> set[str]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def _failed(trial: Trial, changed: tuple[str, ...]) -> list[Problem]:
    """Tests that have failed: whoever makes a file that is not as it was made can mend that."""
    failed = [name for name, ending in (trial.endings or {}).items() if ending == "failed"]
    if not failed and not trial.has_passed:
        return [Problem(trial.reason or "the project has no test that runs", changed)]
    return [Problem(f"the test {name} fails", changed) for name in failed]
