"""What a tenant takes home: a run of each kind of project, watched live, whose download passes its own tests."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.agents import IMPORTS, SERVICES, SITES, TOOLS, run_tests, write_files
from support.builders import Licensed, licensed
from support.processes import FULL_PROOF, served
from support.projects import PLACE
from support.runs import ready_project, started

from app.agents.work import objectives_of

KINDS = {"service": SERVICES[0], "tool": TOOLS[0], "site": SITES[0], "import": IMPORTS[0]}


async def taken_home(server: Any, tenant: Licensed, kind: str, folder: Path) -> float:
    """Run one project, watch it to its end, download it, and test it as its README says; seconds until completed."""
    objectives = objectives_of(KINDS[kind])
    _, mine, project_id = await ready_project(server, tenant, f"A {kind}", objectives="\n".join(objectives))
    began = time.monotonic()
    await started(server, mine, project_id)
    async with server.http.stream("GET", f"{PLACE}/{project_id}/events", headers=mine) as stream:
        lines = [line async for line in stream.aiter_lines()]
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    seconds = time.monotonic() - began
    assert kinds[0] == "run_started"
    assert kinds[-2:] == ["run_completed", "end"], kinds
    answer = await server.http.get(f"{PLACE}/{project_id}/download", headers=mine)
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    finished = await asyncio.to_thread(run_tests, await asyncio.to_thread(write_files, folder / kind, files))
    assert finished.returncode == 0, finished.stderr
    found = re.search(r"Ran (\d+) tests", finished.stderr)
    assert found is not None
    assert int(found[1]) >= len(objectives)
    report = files["REPORT.md"].decode()
    assert all(objective in report for objective in objectives)
    return seconds


@pytest.mark.processes
async def test_each_kind_of_project_is_run_watched_downloaded_and_passes_its_own_tests(
    database: str, tmp_path: Path
) -> None:
    async with served(database, tmp_path, workers=1) as server:
        tenant = await licensed(server, max_uses=len(KINDS) + 1)  # type: ignore[arg-type] - it has what is used
        # One of each on SQLite; on PostgreSQL, unless the proof is full, one is enough: agents know no database.
        kinds = list(KINDS) if FULL_PROOF or server.runtime.db.is_sqlite else ["site"]
        for kind in kinds:
            seconds = await taken_home(server, tenant, kind, tmp_path / "home")
            print(f"{kind}: completed after {seconds:.1f} s")  # noqa: T201 - a figure for who asks with -s
        if FULL_PROOF or server.runtime.db.is_sqlite:
            await from_the_command_line(server, tenant, len(kinds) + 1)


async def from_the_command_line(server: Any, tenant: Licensed, runs: int) -> None:
    """Run a project, watch it, list it, and be told in one line why it is not run or cancelled again."""

    async def portal(*arguments: str) -> tuple[int | None, str, str]:
        command = (sys.executable, "-m", "app", *arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, env=server.environment, stdout=pipe, stderr=pipe)
        output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()

    _, _, project_id = await ready_project(server, tenant, "A shelf", objectives=KINDS["service"])
    code, shown, _ = await portal("run", project_id, "--watch")
    assert code == 0
    lines = shown.splitlines()
    assert "has started the run." in lines[0]
    assert any("100 %" in line and "Check the quality" in line for line in lines)
    assert re.fullmatch(r"Run \d+: completed", lines[-1])
    code, shown, _ = await portal("list-runs", "--tenant", tenant.slug, "--json")
    listed = json.loads(shown)["runs"]
    assert (code, len(listed), {run["state"] for run in listed}) == (0, runs, {"completed"})
    for arguments, told in (
        (("run", project_id), "what is completed is not run again"),
        (("cancel-run", str(listed[0]["id"])), "is not running"),
        (("run", "nothing"), "There is no project nothing."),
    ):
        code, shown, errors = await portal(*arguments)
        assert (code != 0, shown, len(errors.splitlines())) == (True, "", 1)
        assert told in errors
