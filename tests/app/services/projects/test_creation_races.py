"""Many create projects at once: every one gets an id of the rule, and a trial gets one project."""

from __future__ import annotations

import asyncio
from collections import Counter

from sqlalchemy import select
from support.admin import as_tenant
from support.builders import licensed
from support.live import LiveServer
from support.projects import TEXTS, create
from support.rows import change, rows, told
from support.statements import counted_statements

from app.events import EventType
from sql.tables import projects

TENANTS = 10
EACH = 20


async def test_two_hundred_creations_of_a_name_by_ten_tenants_are_two_hundred_projects(
    sanic_client: LiveServer,
) -> None:
    tenants = [await licensed(sanic_client) for _ in range(TENANTS)]
    sessions = [await as_tenant(sanic_client, tenant.tenant_id) for tenant in tenants]

    asking = (create(sanic_client, session, "Hat Shop") for _ in range(EACH) for session in sessions)
    with counted_statements(sanic_client.runtime.db) as seen:
        answers = await asyncio.gather(*asking)

    assert Counter(answer.status_code for answer in answers) == {201: TENANTS * EACH}
    ids = {answer.json()["projectId"] for answer in answers}
    # Whoever waited in line has found a free id at once.
    assert sum(statement.startswith("INSERT INTO projects") for statement in seen) == TENANTS * EACH
    assert ids == {"hat-shop", *(f"hat-shop_{number:03}" for number in range(1, TENANTS * EACH))}
    stored = await rows(sanic_client, select(projects.c.project_id, projects.c.tenant_id))
    assert {row.project_id for row in stored} == ids
    assert Counter(row.tenant_id for row in stored) == {tenant.tenant_id: EACH for tenant in tenants}
    made = [event for event in await told(sanic_client) if event.event_type == EventType.PROJECT_CREATED]
    assert sorted(event.project_id or "" for event in made) == sorted(ids)


async def test_fifty_creations_in_a_trial_are_one_project(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, state="trialing")
    session = await as_tenant(sanic_client, tenant.tenant_id)

    answers = await asyncio.gather(*(create(sanic_client, session, f"Project {number}") for number in range(50)))

    counts = Counter((answer.status_code, answer.json().get("errorCode")) for answer in answers)
    assert counts == {(201, None): 1, (403, "trial_project_limit"): 49}
    assert len(await rows(sanic_client, projects.select())) == 1


async def test_a_gap_is_filled_and_a_full_family_goes_on_with_the_seconds(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    session, now = await as_tenant(sanic_client, tenant.tenant_id), sanic_client.ctx.now()
    name = "y" * 100
    # Of nobody, with neighbours that are no members of the family.
    ids = [name, *(f"{name[:96]}_{number:03}" for number in range(1, 1000) if number != 500), f"{name[:96]}-500"]
    row = {"name": "x", "created_at": now, "updated_at": now, "created_by": "tests"}
    async with sanic_client.ctx.write() as conn:
        await conn.insert_all(projects.insert(), [{"project_id": one, **row} for one in ids])

    answers = [await create(sanic_client, session, name) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 201]
    gap, first, second = (answer.json()["projectId"] for answer in answers)
    assert gap == f"{name[:96]}_500"
    for late in (first, second):
        assert (late[:89], late[89], len(late)) == (name[:89], "-", 100)
        assert 0 <= int(late[90:]) - int(now.timestamp()) < 60
    assert first != second


async def test_an_id_that_is_taken_meanwhile_is_read_again(sanic_client: LiveServer) -> None:
    """Another's transaction has the id and ends while the creation waits for it."""
    tenant = await licensed(sanic_client)
    session, now = await as_tenant(sanic_client, tenant.tenant_id), sanic_client.ctx.now()
    row = {"project_id": "hats", "name": "x", "created_at": now, "updated_at": now, "created_by": "tests"}

    async with sanic_client.ctx.write() as conn:
        await conn.affected(projects.insert(), **row)
        waiting = asyncio.ensure_future(create(sanic_client, session, "Hats"))
        await asyncio.sleep(0.2)
    answer = await waiting

    assert (answer.status_code, answer.json()["projectId"]) == (201, "hats_001")
    assert (await change(sanic_client, projects.delete())) == 2
    assert TEXTS["description"] == answer.json()["description"]
