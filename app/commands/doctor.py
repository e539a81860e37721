"""The doctor: checks everything a server needs, and names what is wrong and what mends it."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from app.commands.checks import examine
from app.commands.finding import Finding
from app.commands.output import FAILED, answer
from app.commands.parameters import AsJson
from app.settings import load_settings

STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


async def doctor(*, as_json: AsJson = False) -> int:
    """Check settings, database and keys, and say what mends them; exit code 1 if anything keeps the server away."""
    findings = [finding async for finding in examine(load_settings)]
    counts = Counter(finding.status for finding in findings)
    result = {
        "ok": not counts["failure"],
        "checks": [
            {"check": finding.check, "status": finding.status, "detail": finding.detail} for finding in findings
        ],
    }
    summary = f"{counts['ok']} ok, {counts['warning']} to look at, {counts['failure']} wrong."
    answer(as_json, result, *(_line(finding) for finding in findings), summary)
    return FAILED if counts["failure"] else 0


def _line(finding: Finding) -> Text:
    return Text.assemble((f"{finding.status:<8}", STYLES[finding.status]), f" {finding.check}: {finding.detail}")
