"""Runs in GraphQL: what they show to whom, page by page, and with how many statements."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select
from support.admin import as_operator, as_tenant
from support.builders import Licensed, licensed
from support.connections import PAGE, paged
from support.graphql import Stored, data, post, refusal, stored_project, stored_run
from support.live import LiveServer
from support.llm_usage import USD, spend
from support.rows import change, rows
from support.statements import counted_statements

from app.services.ledger.accounts import Owner
from sql.tables import projects, run_events, runs

RUNS = f"""query($filter: RunFilterInput, $first: Int! = 50, $after: String) {{
  runs(filter: $filter, first: $first, after: $after) {{ nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE} }} }}"""


async def stored_runs(live: LiveServer, project_id: str, count: int, state: str = "failed") -> list[int]:
    """The ids of so many runs of a project, the oldest first."""
    for _ in range(count):
        await stored_run(live, project_id, [Stored(status="failed", started=1, ended=2)], state=state)
    found = await rows(
        live,
        select(runs.c.id)
        .join(projects, projects.c.id == runs.c.project_number)
        .where(projects.c.project_id == project_id),
    )
    return sorted(row.id for row in found)


async def told_events(live: LiveServer, run_id: int, tenant_id: int, count: int) -> None:
    """Let a run have so many events."""
    event = {
        "tenant_id": tenant_id,
        "run_id": run_id,
        "xid": 1,
        "kind": "task_created",
        "message": "Planned",
        "data": "{}",
    }
    now = live.ctx.now()
    made = [{**event, "number": number, "task_id": number, "created_at": now} for number in range(1, count + 1)]
    async with live.ctx.write() as conn:
        await conn.insert_all(insert(run_events), made)
    await change(live, runs.update().where(runs.c.id == run_id).values(events=count))


async def test_a_run_shows_what_rest_shows(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    project_id, task_ids = going_on
    (run_id,) = await stored_runs(sanic_client, project_id, 0)
    await told_events(sanic_client, run_id, tenant.tenant_id, 2)
    await spend(sanic_client.ctx, 3 * USD + 1, Owner(tenant.tenant_id, project_id, 1, run_id))
    document = """query($id: ID!) { run(id: $id) {
      id projectId tenantSlug state startedBy startedAt endedAt counts error totalTasks completedTasks failedTasks
      cancelledTasks completionPercentage qualityPercentage project { id runs { nodes { id } } }
      tasks(status: COMPLETED, first: 2) { nodes { id title project { id } } }
      events { nodes { number kind message taskId data createdAt } totalCount totalCountIsCapped }
      account { unit level period startsOn cap settled reserved left projectId tenantSlug } } }"""

    found = (await data(sanic_client, mine, document, id=str(run_id)))["run"]

    rest = (await sanic_client.http.get(f"/api/tenant/projects/{project_id}/runs/{run_id}", headers=mine)).json()
    same = {name: found[name] for name in found.keys() & rest.keys() - {"id", "state", "tasks", "events"}}
    assert same == {name: rest[name] for name in same}
    assert len(same) == 12
    assert (found["id"], found["state"], found["tenantSlug"]) == (str(run_id), "RUNNING", tenant.slug)
    assert found["project"] == {"id": project_id, "runs": {"nodes": [{"id": str(run_id)}]}}
    assert [task["id"] for task in found["tasks"]["nodes"]] == [str(task_ids[0]), str(task_ids[1])]
    told = found["events"]["nodes"][0]
    assert told.pop("createdAt").endswith("Z")
    assert told == {"number": 1, "kind": "TASK_CREATED", "message": "Planned", "taskId": "1", "data": "{}"}
    assert (found["events"]["totalCount"], found["events"]["totalCountIsCapped"]) == (2, False)
    assert found["account"] == {
        "unit": "MONEY",
        "level": "RUN",
        "period": "NONE",
        "startsOn": None,
        "cap": None,
        "settled": 3 * USD + 1,
        "reserved": 0,
        "left": None,
        "projectId": project_id,
        "tenantSlug": tenant.slug,
    }


async def test_runs_are_paged_without_overlap_or_gap(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    one, two = [await stored_project(sanic_client, tenant, name) for name in ("One", "Two")]
    first, second = await stored_runs(sanic_client, one, 4), await stored_runs(sanic_client, two, 3, "completed")
    everything = [str(run_id) for run_id in sorted([*first, *second], reverse=True)]
    of_project = f"""query($first: Int!, $after: String, $state: RunState) {{ project(id: "one") {{
      runs(state: $state, first: $first, after: $after) {{ nodes {{ id }} edges {{ cursor }} {PAGE} }} }} }}"""

    async def ids(path: str, document: str, headers: dict[str, str] = mine, **asked: Any) -> list[str]:
        return [node["id"] for page in await paged(sanic_client, headers, path, document, **asked) for node in page]

    for size in (2, 3, 7, 500):
        assert await ids("runs", RUNS, first=size) == everything
    assert [len(page) for page in await paged(sanic_client, mine, "runs", RUNS, first=3)] == [3, 3, 1]
    assert await ids("runs", RUNS, first=2, filter={"state": "COMPLETED"}) == everything[:3]
    assert await ids("runs", RUNS, first=2, filter={"projectId": "one"}) == everything[3:]
    assert await ids("runs", RUNS, first=2, filter={"tenantSlug": tenant.slug}) == everything
    assert await ids("runs", RUNS, await as_operator(sanic_client), first=4) == everything
    assert await ids("project.runs", of_project, first=3) == everything[3:]
    assert await ids("project.runs", of_project, first=3, state="RUNNING") == []
    none = (await data(sanic_client, mine, RUNS, first=0))["runs"]
    assert (none["nodes"], none["pageInfo"]["hasNextPage"], none["pageInfo"]["endCursor"]) == ([], True, None)
    for wrong in ({"after": "x"}, {"first": -1}):
        error = await refusal(sanic_client, mine, RUNS, **wrong)
        assert (error["extensions"]["code"], error["extensions"]["fields"][0]["loc"]) == ("validation_error", [*wrong])


async def test_tasks_and_events_of_a_run_are_paged(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    (run_id,) = await stored_runs(sanic_client, going_on[0], 0)
    await told_events(sanic_client, run_id, tenant.tenant_id, 7)

    async def pages(field: str, first: int, node: str) -> list[list[Any]]:
        document = f"""query($id: ID!, $first: Int!, $after: String) {{ run(id: $id) {{
          {field}(first: $first, after: $after) {{ nodes {{ {node} }} edges {{ cursor }} {PAGE} }} }} }}"""
        found = await paged(sanic_client, mine, f"run.{field}", document, first=first, id=str(run_id))
        return [[one[node] for one in page] for page in found]

    assert await pages("tasks", 4, "id") == [
        [str(one) for one in going_on[1][:4]],
        [str(one) for one in going_on[1][4:]],
    ]
    assert await pages("events", 3, "number") == [[1, 2, 3], [4, 5, 6], [7]]
    assert await pages("events", 7, "number") == [[1, 2, 3, 4, 5, 6, 7]]


async def test_statements_depend_on_the_depth_and_not_on_the_rows(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    nested = """{ projects(limit: 5) { settings { version } runs(first: 5) { nodes { project { name }
      account { settled } tasks(first: 5) { nodes { id project { id } run { tenant { slug } } } }
      events(first: 5) { nodes { number } totalCount } } } } }"""
    listed = """{ runs(first: 9) { nodes { project { id } account { cap }
      tasks(first: 9) { nodes { id } } events(first: 9) { nodes { number } } } } }"""
    counts = []
    for name in ("One", "Two", "Three"):
        project_id = await stored_project(sanic_client, tenant, name)
        (run_id, *_) = await stored_runs(sanic_client, project_id, 2)
        await told_events(sanic_client, run_id, tenant.tenant_id, 3)
        number = []
        for document in (nested, listed):
            with counted_statements(sanic_client.runtime.db) as seen:
                found = await data(sanic_client, mine, document)
            number.append(len(seen))
        counts.append(number)

    assert [len(run["events"]["nodes"]) for run in found["runs"]["nodes"]] == [0, 3] * 3
    # Beside the session: projects, their settings, runs; projects of runs, accounts, tasks, events; runs of tasks and
    # their tenants. Projects of tasks are known already.
    assert counts == [[10, 6]] * 3


async def test_a_tenant_sees_its_own_and_an_operator_everything(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    other = await licensed(sanic_client)
    theirs = await as_tenant(sanic_client, other.tenant_id)
    secret = await stored_project(sanic_client, other, "Secret")
    (hidden,) = await stored_runs(sanic_client, secret, 1)
    (shown,) = await stored_runs(sanic_client, going_on[0], 0)
    both = f'{{ runs {{ nodes {{ id }} }} mine: run(id: "{shown}") {{ id }} theirs: run(id: "{hidden}") {{ id }} }}'

    own, others = await data(sanic_client, mine, both), await data(sanic_client, theirs, both)
    everything = await data(sanic_client, await as_operator(sanic_client, "read_only"), both)

    assert own == {"runs": {"nodes": [{"id": str(shown)}]}, "mine": {"id": str(shown)}, "theirs": None}
    assert others == {"runs": {"nodes": [{"id": str(hidden)}]}, "mine": None, "theirs": {"id": str(hidden)}}
    assert [run["id"] for run in everything["runs"]["nodes"]] == [
        str(run_id) for run_id in sorted((hidden, shown))[::-1]
    ]
    assert (everything["mine"], everything["theirs"]) == ({"id": str(shown)}, {"id": str(hidden)})
    error = await refusal(sanic_client, mine, RUNS, filter={"tenantSlug": other.slug})
    assert error["extensions"]["code"] == "tenant_mismatch"
    for wrong in ("x", "99999999999999999999"):
        error = await refusal(sanic_client, mine, f'{{ run(id: "{wrong}") {{ id }} }}')
        assert error["extensions"]["code"] == "validation_error"


async def test_what_would_cost_too_much_is_refused_before_a_statement_is_sent(
    sanic_client: LiveServer, mine: dict[str, str]
) -> None:
    with counted_statements(sanic_client.runtime.db) as seen:
        document = "{ runs(first: 100) { nodes { id tasks(first: 100) { nodes { id } } } } }"
        answer = await post(sanic_client, mine, document)

    (error,) = answer.json()["errors"]
    # The connection, its runs, and of each a connection and its tasks.
    assert (error["extensions"]["code"], error["extensions"]["cost"]) == ("graphql_too_costly", 1 + 100 * (1 + 1 + 100))
    assert len(seen) == 1
