"""The download of a run: who gets it, what is in it, and when it is refused."""

from __future__ import annotations

import io
import zipfile

import pytest
from sqlalchemy import update
from support.admin import as_tenant
from support.builders import licensed
from support.clocks import MovableClock
from support.live import LiveServer
from support.projects import PLACE
from support.rows import change, rows
from support.runs import failing, files_of, planned, ready_project, run, scripted, started, worked_off

from app.agents.work import Job, Outcome
from app.services.runs.upkeep import remove_old_files
from sql.tables import projects, run_files, run_folders, runs

FILES = {
    "README.md": b"# Hat shop\n",
    "src/h\u00fcte.py": "print('H\u00fcte')\n".encode(),
    "src/my.env.example.py": b"x = 1\n",
    ".env": b"SECRET=1",
    "run.log": b"noise",
    ".git/config": b"",
    "src/__pycache__/a.pyc": b"",
}


async def write_files(job: Job) -> Outcome:
    return Outcome(files=FILES, message="written")


async def test_a_completed_run_is_downloaded_without_what_nobody_needs(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [planned("a")], write_files)
    _, mine, project_id = await ready_project(sanic_client, client_name="H\u00fcte & Co.")
    await worked_off(sanic_client, await started(sanic_client, mine, project_id))

    answer = await sanic_client.http.get(f"{PLACE}/{project_id}/download", headers=mine)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "filename*=UTF-8''H%C3%BCte%20%20Co-hat-shop.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        kept = {name: archive.read(name) for name in archive.namelist()}
    assert kept == {name: FILES[name] for name in ("README.md", "src/h\u00fcte.py", "src/my.env.example.py")}
    theirs = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    assert (await sanic_client.http.get(f"{PLACE}/{project_id}/download", headers=theirs)).status_code == 404


async def test_what_was_not_completed_is_not_downloaded(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(reason: str) -> None:
        answer = await sanic_client.http.get(f"{PLACE}/{project_id}/download", headers=mine)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "download_refused")
        assert reason in answer.json()["message"]

    scripted(monkeypatch, [planned("a")], failing)
    _, mine, project_id = await ready_project(sanic_client)
    await refused("it was never run")
    run_id = await started(sanic_client, mine, project_id)
    await refused("its run has not ended")
    await worked_off(sanic_client, run_id)
    await refused("its last run was not completed")
    await change(sanic_client, update(projects).values(execution_status="completed"))
    await refused("the quality of its run is 50 %")


async def test_files_are_removed_after_their_time_and_with_their_run(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> None:
    scripted(monkeypatch, [planned("a")], write_files)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    await worked_off(sanic_client, run_id)
    file = (await files_of(sanic_client, run_id))[0]
    session = mine

    assert await remove_old_files(sanic_client.ctx) == {"runs": 0}
    clock.move(days=91)
    mine = await as_tenant(sanic_client, (await rows(sanic_client, runs.select()))[0].tenant_id)
    assert await remove_old_files(sanic_client.ctx) == {"runs": 1}

    assert session != mine
    answer = await sanic_client.http.get(f"{PLACE}/{project_id}/download", headers=mine)
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "download_gone")
    with pytest.raises(Exception, match=file.sha256):
        await sanic_client.runtime.artifacts.get(run_id, file.sha256, file.size)
    assert await rows(sanic_client, run_files.select()) == await rows(sanic_client, run_folders.select()) == []


async def test_files_go_with_their_project(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> None:
    scripted(monkeypatch, [planned("a")], write_files)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)
    await worked_off(sanic_client, run_id)
    file = (await files_of(sanic_client, run_id))[0]

    assert (await sanic_client.http.delete(f"{PLACE}/{project_id}", headers=mine)).status_code == 204
    assert await remove_old_files(sanic_client.ctx) == {"runs": 1}

    with pytest.raises(Exception, match=file.sha256):
        await sanic_client.runtime.artifacts.get(run_id, file.sha256, file.size)
    assert (await run(sanic_client, mine, project_id)).status_code == 404


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "C:/x", "a\x00b", "con.txt", "a" * 4096, "x/../../y"])
async def test_what_an_agent_writes_elsewhere_fails_its_task_and_leaves_nothing(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def escape(job: Job) -> Outcome:
        return Outcome(files={"good.txt": b"good", path: b"evil"}, message="written")

    scripted(monkeypatch, [planned("a")], escape)
    _, mine, project_id = await ready_project(sanic_client)
    run_id = await started(sanic_client, mine, project_id)

    row = await worked_off(sanic_client, run_id)

    assert row.state == "failed"
    assert await files_of(sanic_client, run_id) == []
