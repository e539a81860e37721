"""Subscribers of two servers on one PostgreSQL: each is told every change that matches, once and in order."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from support.admin import as_operator, as_tenant
from support.builders import licensed
from support.graphql import PATH, Stored, stored_project, stored_run
from support.processes import FULL_PROOF, ServerProcess, served
from support.sockets import bearer
from support.subscribers import ACTIVITIES, TASKS, Change, Subscriber, changes_of

from sql.tables import runs

pytestmark = [pytest.mark.processes, pytest.mark.postgresql_only("SQLite is for one host")]

# Of each server; of ten subscribers four come back to the other one, and the session of one is revoked.
SUBSCRIBERS, CHANGES = (200, 1000) if FULL_PROOF else (20, 100)
RUNS = 4
CHANGERS = 4
# How many may say who they are at the same time.
AT_ONCE = 50
PATIENCE = 300.0 if FULL_PROOF else 60.0
SETTINGS = {
    "PORTAL_GRAPHQL_MAX_CONNECTIONS_PER_CALLER": "1000",
    "PORTAL_MAX_WATCHERS_PER_TENANT": "1000",
    "PORTAL_WORK_PROCESSES": "elsewhere",
}
UPDATE = "mutation($id: String!, $to: TaskStatus) { updateTask(input: {taskId: $id, status: $to}) { status } }"


class World(NamedTuple):
    """Two servers on one database, and the tasks that may be changed."""

    servers: Sequence[ServerProcess]
    tenants: list[int]
    projects: list[str]
    runs: list[int]
    tasks: list[int]
    operator: dict[str, str]


@asynccontextmanager
async def world(database: str, folder: Path) -> AsyncIterator[World]:
    """Two tenants, the first with three projects and the second with one, each with a run of open tasks."""
    async with AsyncExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            servers.append(await stack.enter_async_context(served(database, folder / name, workers=1, **SETTINGS)))
        live: Any = servers[0]
        tenants = [await licensed(live), await licensed(live)]
        projects, tasks = [], []
        for number in range(RUNS):
            project_id = await stored_project(live, tenants[number == RUNS - 1], f"Shop {number}")
            # One more than will be changed, so that no run ends.
            planned = [Stored("qa" if place % 3 else "coder") for place in range(CHANGES // RUNS + 1)]
            tasks.append((await stored_run(live, project_id, planned))[:-1])
            projects.append(project_id)
        run_numbers = await run_ids(servers[0])
        operator = await as_operator(live)
        in_turn = [task for some in zip(*tasks, strict=True) for task in some]
        yield World(servers, [tenant.tenant_id for tenant in tenants], projects, run_numbers, in_turn, operator)


async def run_ids(server: ServerProcess) -> list[int]:
    async with server.ctx.read() as conn:
        return await conn.many(select(runs.c.id).order_by(runs.c.id), int)


async def subscriber(of: World, number: int) -> Subscriber:
    """The next one, with a session of its own: of a tenant, a project, a kind of agent, another tenant, or of all."""
    live: Any = of.servers[0]
    first, second = of.tenants
    kind = number % 5
    if kind == 4:
        credentials = {"Authorization": of.operator["authorization"]}
        return Subscriber(credentials, TASKS, {}, lambda change: True)
    tenant_id = second if kind == 3 else first
    credentials = bearer(await as_tenant(live, tenant_id))
    if kind == 1:
        project = {"projectId": of.projects[0]}
        return Subscriber(credentials, TASKS, project, lambda change: change.run_id == of.runs[0])
    if kind == 2:
        agent = {"agentType": "QA"}
        return Subscriber(
            credentials, ACTIVITIES, agent, lambda change: (change.tenant_id, change.agent_type) == (first, "qa")
        )
    return Subscriber(credentials, TASKS, {}, lambda change: change.tenant_id == tenant_id)


async def change(of: World, tasks: Sequence[int]) -> None:
    """Change tasks as a front end does, through both servers at once."""
    left = iter(list(enumerate(tasks)))

    async def changer() -> None:
        for number, task in left:
            told = {"query": UPDATE, "variables": {"id": str(task), "to": ("FAILED", "CANCELLED")[number % 2]}}
            answer = await of.servers[number % 2].http.post(PATH, headers=of.operator, json=told)
            assert answer.json()["data"], answer.text

    await asyncio.gather(*(changer() for _ in range(CHANGERS)))


async def watched(server: ServerProcess) -> float:
    """How many subscriptions a server follows events for."""
    text = (await server.http.get("/metrics")).text
    return sum(
        float(value) for value in re.findall(r"^portal_run_watchers(?:{[^}]*})? ([\d.e+]+)$", text, re.MULTILINE)
    )


async def all_begun(of: World, numbers: Sequence[int]) -> None:
    """Wait until the servers follow events for so many."""
    async with asyncio.timeout(PATIENCE):
        while [await watched(server) for server in of.servers] != list(numbers):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)


async def begin_all(some: Sequence[Subscriber], server: ServerProcess) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def begin(one: Subscriber) -> None:
        async with turns:
            await one.begin(server)

    await asyncio.gather(*map(begin, some))


def matching(one: Subscriber, changes: Sequence[Change]) -> list[tuple[str, str]]:
    return [(change.cursor, change.task) for change in changes if one.matches(change)]


async def cut_off(one: Subscriber, after: int) -> None:
    """Let it be told some changes, and cut it off amid the others."""
    await one.until(after, PATIENCE)
    await one.hang_up()


async def revoked(of: World, some: Sequence[Subscriber]) -> float:
    """Sign the sessions out through the first server; seconds until all of their connections are closed."""
    began = time.monotonic()
    for one in some:
        headers = {"x-session-token": one.credentials["Authorization"].removeprefix("Bearer ")}
        answer = await of.servers[0].http.post("/api/tenant/auth/logout", headers=headers)
        assert answer.status_code == 204, answer.text
    await asyncio.gather(*(one.closed(PATIENCE) for one in some))
    return time.monotonic() - began


async def test_each_is_told_every_change_once_in_order_wherever_it_comes_from(database: str, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        # Kinds repeat after five, those who come back or are signed out after ten: so there is each of both.
        groups = [[await subscriber(here, number) for number in range(SUBSCRIBERS)] for _ in here.servers]
        everybody = [one for group in groups for one in group]
        for group, server in zip(groups, here.servers, strict=True):
            await begin_all(group, server)
        await all_begun(here, [SUBSCRIBERS] * 2)

        returning = [one for group in groups for number, one in enumerate(group) if number % 10 in {1, 3, 5, 9}]
        began = time.monotonic()
        half = CHANGES // 2
        changing = asyncio.create_task(change(here, here.tasks[:half]))
        await asyncio.gather(*(cut_off(one, 1 + number % 5) for number, one in enumerate(returning)))
        await changing
        for group, other in zip(groups, reversed(here.servers), strict=True):
            await begin_all([one for one in group if one in returning], other)
        signed_out = [one for group in groups for number, one in enumerate(group) if number % 10 == 0]
        seconds = await revoked(here, signed_out)
        await change(here, here.tasks[half:])

        changes = await changes_of(here.servers[0])
        assert len(changes) == CHANGES
        wrong = 0
        for one in everybody:
            wanted = matching(one, changes)
            if one in signed_out:
                assert (one.code, one.told) == (4401, wanted[: len(one.told)])
                assert len(one.told) < len(wanted)
            else:
                await one.until(len(wanted), PATIENCE)
                wrong += one.told != wanted
        took = time.monotonic() - began
        assert wrong == 0
        told = sum(len(one.told) for one in everybody)
        print(f"{told} answers of {CHANGES} changes in {took:.0f} s, closed after {seconds:.1f} s")  # noqa: T201 - for -s
        assert seconds < 5 or not FULL_PROOF
        await asyncio.gather(*(one.hang_up() for one in everybody))
        await all_begun(here, [0, 0])
