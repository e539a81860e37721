"""The doctor: checks everything that a server needs, and names each problem and its remedy."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from app.commands.check_result import CheckResult
from app.commands.checks import examine
from app.commands.output import FAILED, answer
from app.commands.parameters import AsJson
from app.settings import load_settings

STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


async def doctor(*, as_json: AsJson = False) -> int:
    """Check settings, database and keys, and say what mends them; exit code 1 if anything keeps the server away."""
    results = [result async for result in examine(load_settings)]
    counts = Counter(result.status for result in results)
    report = {
        "ok": not counts["failure"],
        "checks": [{"check": result.check, "status": result.status, "detail": result.detail} for result in results],
    }
    summary = f"{counts['ok']} ok, {counts['warning']} to look at, {counts['failure']} wrong."
    answer(as_json, report, *(_line(result) for result in results), summary)
    return FAILED if counts["failure"] else 0


def _line(result: CheckResult) -> Text:
    return Text.assemble((f"{result.status:<8}", STYLES[result.status]), f" {result.check}: {result.detail}")
