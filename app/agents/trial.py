"""The trial of a project: its own tests, run in the sandbox."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from app.sandbox import Finished, Limits, Sandbox

LIMITS = Limits(wall_seconds=120.0, cpu_seconds=60, output=512 << 10)
NO_SANDBOX = "because there is no sandbox on this machine"
_MAX_OUTPUT = 4_000
# Finds the tests as python3 -m unittest does, and writes how each has ended behind a mark that no test can know.
_RUN = """
import json, sys, unittest
mark = sys.argv.pop()
class Result(unittest.TextTestResult):
    endings = {}
    def note(self, test, ending):
        # Tests of one name in several classes pass if all do.
        name = test.id().rpartition(".")[2][:200]
        known = self.endings.get(name)
        if ending == "failed" or known is None or (ending == "skipped" and known == "passed"):
            self.endings[name] = ending
    def addSuccess(self, test):
        super().addSuccess(test); self.note(test, "passed")
    def addFailure(self, test, failure):
        super().addFailure(test, failure); self.note(test, "failed")
    def addError(self, test, failure):
        super().addError(test, failure); self.note(test, "failed")
    def addSkip(self, test, reason):
        super().addSkip(test, reason); self.note(test, "skipped")
    def addSubTest(self, test, subtest, failure):
        super().addSubTest(test, subtest, failure)
        if failure is not None: self.note(test, "failed")
tests = unittest.defaultTestLoader.discover(".")
result = unittest.TextTestRunner(resultclass=Result, verbosity=1).run(tests)
print("\\n" + mark + json.dumps({"run": result.testsRun, "failures": len(result.failures), "errors": len(result.errors),
    "skipped": len(result.skipped), "endings": result.endings}), flush=True)
"""


class Trial(NamedTuple):
    """How the tests have ended: ``endings`` by the names of tests; None, with the reason, if they were not run."""

    endings: Mapping[str, str] | None
    reason: str = ""
    run: int = 0
    failed: int = 0
    skipped: int = 0
    output: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether tests were run and none has failed."""
        return self.endings is not None and self.run > 0 and not self.failed

    def as_json(self) -> dict[str, Any]:
        """The trial as JSON."""
        if self.endings is None:
            return {"run": False, "reason": f"not run, {self.reason}"}
        return {
            "run": True,
            "count": self.run,
            "failed": self.failed,
            "skipped": self.skipped,
            "output": self.output if self.failed else "",
        }


async def try_out(files: Mapping[str, bytes], sandbox: Sandbox | None) -> Trial:
    """Run the project's tests, if there is a sandbox: code is never run without one."""
    if sandbox is None:
        return Trial(None, NO_SANDBOX)
    mark = secrets.token_hex(16)
    finished = await sandbox.run_python(["-B", "-c", _RUN, mark], files, LIMITS)
    return _trial(finished, mark)


def _trial(finished: Finished, mark: str) -> Trial:
    printed, _, result = finished.output.rpartition(f"\n{mark}")
    try:
        counted = json.loads(result.splitlines()[0])
    except (ValueError, IndexError):
        ended = "its time was up" if finished.status is None else f"it ended with exit code {finished.status}"
        return Trial({}, f"the tests did not end by themselves: {ended}", 0, 1, 0, finished.output[-_MAX_OUTPUT:])
    failed = counted["failures"] + counted["errors"]
    return Trial(
        counted["endings"], "", counted["run"], failed, counted["skipped"], printed[-_MAX_OUTPUT:] if failed else ""
    )
