"""A run that agents work on, watched from its start to its end."""

from __future__ import annotations

import pytest
from support.builders import Licensed
from support.live import LiveServer
from support.runs import events_of, planned, ready_project, scripted, started, worked_off
from support.watching import Run, Watchers

from app.services.runs.run_events import BEGINNING
from app.services.runs.watching import follow


async def test_a_run_is_told_from_its_start_to_its_end(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [planned("a"), planned("b", "a")])
    watchers, (tenant, mine, project_id) = Watchers(), await ready_project(sanic_client)
    run = Run(await started(sanic_client, mine, project_id), tenant, project_id, mine)
    watching = await watchers.watch(sanic_client, run)
    await worked_off(sanic_client, run.id)
    await watchers.ended(watching)
    await watchers.hang_up()
    stored = await events_of(sanic_client, run.id)

    assert [(told.number, told.kind) for told in watching.told[:-1]] == [(row.number, row.kind) for row in stored]
    assert watching.end == "run_ended"
    assert watching.told[-2].data["run"]["state"] == "completed"
    assert {told.data["task"]["key"] for told in watching.told if told.data.get("task")} == {"plan", "a", "b"}
    assert await followed(sanic_client, tenant) == [row.number for row in stored]


async def followed(live: LiveServer, tenant: Licensed) -> list[int]:
    """The numbers of all events of the tenant's runs, as one who follows them gets them."""
    watcher = await follow(live.ctx, tenant.tenant_id, BEGINNING)
    numbers: list[int] = []
    while events := await watcher.next(1):
        numbers += [event.number for event in events]
    watcher.close()
    return numbers
