"""The security agent: reads every file for what attackers like, and says what to know before others use the project."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.agents.agent import Agent
from app.agents.inspection import inspect
from app.agents.job import Job, LearnedTemplate, Outcome, PlannedTask
from app.agents.render import report
from app.agents.specification import Specification
from app.sandbox import Sandbox

REPORT = "SECURITY.md"
# What agents say of the files is none of them.
REPORTS = frozenset({REPORT, "REPORT.md"})


def _tasks(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[PlannedTask]:
    description = f"Read every file, and write {REPORT}."
    return [PlannedTask("security", "security", "Look for what attackers like", description, (), 2)]


async def _work(job: Job, spec: Specification, sandbox: Sandbox | None) -> Outcome:
    inspected = await inspect({path: content for path, content in job.files.items() if path not in REPORTS})
    findings = [(path, finding) for path, found in sorted(inspected.items()) for finding in found.findings]
    values = {"examined": len(inspected), "findings": findings}
    content = await asyncio.to_thread(report, spec, REPORT, values)
    outputs = {
        "files_created": [REPORT],
        "examined": len(inspected),
        "findings": [{"path": path, "finding": finding} for path, finding in findings],
    }
    noun = "finding" if len(findings) == 1 else "findings"
    return Outcome({REPORT: content}, outputs=outputs, message=f"{len(inspected)} files read, {len(findings)} {noun}")


AGENT = Agent(
    "Reads every file for code that runs texts, for secrets, and for scripts in pages.",
    ("coder", "frontend", "integration", "node", "mobile", "testing", "infrastructure", "workflow"),
    _tasks,
    _work,
)
