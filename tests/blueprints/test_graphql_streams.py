"""Subscriptions as server-sent events, and what holds of subscriptions over any transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, update
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import Licensed, activated, licensed
from support.clocks import MovableClock
from support.graphql import post
from support.journey import until
from support.live import LiveServer, live_server
from support.rows import change
from support.runs import events_of, planned, ready_project, scripted, started, worked_off
from support.sockets import RefusedError, bearer, held, streamed, talk
from support.watching import begun, happen

from app.errors import CostBudgetError
from app.services import connections
from app.services.progress.places import cursor_at, text_of
from app.services.progress.samples import LONGEST, metrics_stream
from app.services.runs.run_events import BEGINNING
from app.settings import Settings
from sql.tables import api_tokens, operator_sessions

TASKS = """subscription($projectId: String, $after: String) {
  taskUpdates(projectId: $projectId, after: $after) { id status cursor } }"""
ACTIVITY = """subscription($agentType: AgentType, $after: String) {
  agentActivity(agentType: $agentType, after: $after) { id agentType eventType metadata cursor } }"""
PROJECT = """subscription($id: String!, $after: String) {
  projectUpdates(projectId: $id, after: $after) { id status completionPercentage cursor } }"""
METRICS = "subscription { systemMetricsStream(intervalSeconds: 1) { activeTasks cursor } }"
FIRST = text_of(BEGINNING)


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens every two seconds happens at once, so that no test waits for it."""
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.05)


async def taken(events: AsyncIterator[dict[str, Any]], count: int) -> list[Any]:
    """The next so many of what is told, without the name of the subscription."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        async for event in events:
            found += event.values()
            if len(found) == count:
                break
    return found


async def ended_run(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> tuple[Licensed, dict[str, str], str, list[Any]]:
    """A project whose run has ended, and the events of the run."""
    scripted(monkeypatch, [planned("a"), planned("b", "a", "qa")])
    tenant, mine, project_id = await ready_project(live)
    run_id = await started(live, mine, project_id)
    await worked_off(live, run_id)
    return tenant, mine, project_id, await events_of(live, run_id)


async def test_any_cursor_leads_to_the_rest(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    _, mine, project_id, kept = await ended_run(sanic_client, monkeypatch)
    of_tasks = [event for event in kept if event.task_id is not None]
    told = await taken(streamed(sanic_client, mine, TASKS, {"after": FIRST}), len(of_tasks))
    assert [one["id"] for one in told] == [str(event.task_id) for event in of_tasks]
    for number, one in enumerate(told[:-1], 1):
        rest = await taken(streamed(sanic_client, mine, TASKS, {"after": one["cursor"]}, "GET"), len(told) - number)
        assert rest == told[number:]

    of_qa = await taken(streamed(sanic_client, mine, ACTIVITY, {"agentType": "QA", "after": FIRST}), 3)
    assert [one["eventType"] for one in of_qa] == ["task_created", "task_started", "task_completed"]
    assert '"state":"' in of_qa[-1]["metadata"]
    updates = await taken(streamed(sanic_client, mine, PROJECT, {"id": project_id, "after": FIRST}), len(kept))
    assert (updates[0]["status"], updates[-1]["status"]) == ("IN_PROGRESS", "COMPLETED")
    assert updates[-1]["completionPercentage"] == 100
    await until(lambda: held(sanic_client) == (0, 0))


async def test_a_tenant_is_told_of_its_own_and_an_operator_of_all(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, mine, project_id, kept = await ended_run(sanic_client, monkeypatch)
    _, theirs, other_id, others = await ended_run(sanic_client, monkeypatch)
    everybody = [await as_operator(sanic_client), await operator_cookie(sanic_client)]
    tasks = [[str(event.task_id) for event in events if event.task_id] for events in (kept, others)]
    for headers, expected in (
        (mine, tasks[0]),
        (theirs, tasks[1]),
        *((one, [*tasks[0], *tasks[1]]) for one in everybody),
    ):
        told = await taken(streamed(sanic_client, headers, TASKS, {"after": FIRST}), len(expected))
        assert sorted(one["id"] for one in told) == sorted(expected)

    for document in (TASKS, PROJECT):
        name = "id" if document is PROJECT else "projectId"
        with pytest.raises(RefusedError) as refused:
            await taken(streamed(sanic_client, mine, document, {name: other_id}), 1)
        assert (refused.value.status, refused.value.code) == (404, "project_not_found")
    assert project_id != other_id


async def test_who_may_not_ask_is_refused(
    sanic_client: LiveServer, tenant: Licensed, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client, tenant)
    cookie = await operator_cookie(sanic_client)
    api_token = await as_operator(sanic_client)
    callers = [
        ({}, 401, "unauthenticated"),
        ({"x-session-token": "ended"}, 401, "session_invalid"),
        (device.headers, 401, "session_invalid"),
        ({"authorization": "Bearer pat_ended"}, 401, "api_token_invalid"),
        ({**cookie, "origin": "https://evil.example"}, 403, "origin_refused"),
    ]
    for headers, status, code in callers:
        with pytest.raises(RefusedError) as refused:
            await taken(streamed(sanic_client, headers, METRICS, {}), 1)
        assert (refused.value.status, refused.value.code) == (status, code)
        sanic_client.http.cookies.clear()
    monkeypatch.setattr("app.access.permissions.Role.permissions", frozenset())
    for headers in (api_token, cookie):
        with pytest.raises(RefusedError) as refused:
            await taken(streamed(sanic_client, headers, METRICS, {}), 1)
        assert (refused.value.status, refused.value.code) == (403, "permission_missing")


async def test_an_expired_session_is_refused_over_both(settings: Settings) -> None:
    clock = MovableClock()
    async with live_server(settings, clock) as live:
        mine = await as_tenant(live, (await licensed(live)).tenant_id)
        clock.move(seconds=settings.session_seconds + 1)
        with pytest.raises(RefusedError) as refused:
            await taken(streamed(live, mine, METRICS, {}), 1)
        assert (refused.value.status, refused.value.code) == (401, "session_expired")
        async with talk(live) as socket:
            await socket.say("connection_init", payload=bearer(mine))
            assert await socket.code() == 4401


async def test_queries_are_told_once_and_what_is_wrong_has_its_status(
    sanic_client: LiveServer, mine: dict[str, str]
) -> None:
    accepting = {**mine, "accept": "text/event-stream"}
    told = await post(sanic_client, accepting, "{ projects { id } }")
    assert told.headers["content-type"] == "text/event-stream"
    first, last, rest = told.text.split("\n\n")
    assert first.startswith('event: next\ndata: {"data":{"projects":[]}')
    assert (last, rest) == ("event: complete\ndata: ", "")
    for query, status, code in (
        ("{ nothing }", 400, "graphql_invalid"),
        ('subscription { taskUpdates(after: "x") { id } }', 422, "validation_error"),
    ):
        answer = await post(sanic_client, accepting, query)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (status, code)
    change = {"query": 'mutation { updateTask(input: {taskId: "1"}) { id } }'}
    assert (await sanic_client.http.get("/graphql", headers=accepting, params=change)).status_code == 405
    plain = await post(sanic_client, mine, METRICS)
    assert "server-sent events" in plain.json()["errors"][0]["message"]
    assert held(sanic_client) == (0, 0)


@pytest.mark.parametrize("kind", ["tenant", "program", "operator"])
async def test_what_is_revoked_is_told_nothing_more(
    sanic_client: LiveServer, mine: dict[str, str], looking_often: None, kind: str
) -> None:
    headers = {
        "tenant": mine,
        "program": await as_operator(sanic_client),
        "operator": await operator_cookie(sanic_client),
    }
    events = streamed(sanic_client, headers[kind], METRICS, {})
    await taken(events, 1)
    waiting = asyncio.create_task(anext(streamed(sanic_client, headers[kind], TASKS, {})))
    await until(lambda: held(sanic_client)[1] == 1)
    now = sanic_client.ctx.now()
    match kind:
        case "tenant":
            await sanic_client.http.post("/api/tenant/auth/logout", headers=mine)
        case "program":
            await change(sanic_client, update(api_tokens).values(revoked_at=now))
        case "operator":
            await change(sanic_client, delete(operator_sessions))
    with pytest.raises(RefusedError) as refused:
        async with asyncio.timeout(5):
            await waiting
    assert refused.value.code == "session_invalid"
    await until(lambda: held(sanic_client) == (0, 0))


async def test_a_program_that_is_revoked_loses_its_socket(sanic_client: LiveServer, looking_often: None) -> None:
    async with talk(sanic_client, **await as_operator(sanic_client)) as socket:
        await socket.begin()
        await change(sanic_client, update(api_tokens).values(revoked_at=sanic_client.ctx.now()))
        assert await socket.code() == 4401


async def test_an_operator_whose_role_is_taken_is_told_nothing_more(
    sanic_client: LiveServer, looking_often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talk(sanic_client, **await as_operator(sanic_client)) as socket:
        await socket.begin()
        monkeypatch.setattr("app.access.permissions.Role.permissions", frozenset())
        assert await socket.code() == 4403


async def test_streams_are_bounded_as_sockets_are(settings: Settings) -> None:
    async with live_server(settings.model_copy(update={"graphql_max_connections_per_caller": 1})) as live:
        mine = await as_tenant(live, (await licensed(live)).tenant_id)
        first = asyncio.create_task(anext(streamed(live, mine, TASKS, {})))
        await until(lambda: held(live) == (1, 1))
        with pytest.raises(RefusedError) as refused:
            await taken(streamed(live, mine, TASKS, {}), 1)
        assert (refused.value.status, refused.value.code) == (429, "too_many_connections")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await until(lambda: held(live) == (0, 0))


async def test_a_budget_that_is_used_up_delays_and_loses_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []
    async with live_server(settings) as live:
        run = await begun(live)
        reading = asyncio.create_task(taken(streamed(live, run.headers, PROJECT, {"id": run.project_id}), 6))
        await until(lambda: held(live) == (1, 1))
        limits, count = live.runtime.rate_limits, live.runtime.rate_limits.count_cost

        async def count_grudgingly(caller: str, cost: int) -> Any:
            if not refused:
                refused.append(cost)
                raise CostBudgetError(retry_after=0, limit=cost)
            return await count(caller, cost)

        monkeypatch.setattr(limits, "count_cost", count_grudgingly)
        await happen(live.runtime, run, 6)
        told = await reading
    assert len({one["cursor"] for one in told}) == 6
    assert refused == [1]


async def test_metrics_come_at_a_clamped_interval_and_go_on_where_they_were(sanic_client: LiveServer) -> None:
    loop = asyncio.get_running_loop()
    ctx = sanic_client.ctx
    one = await anext(await metrics_stream(ctx, interval_seconds=-5))
    assert one.cursor is not None
    for asked, seconds in ((0, 1), (30, 30), (1000, LONGEST)):
        following = await metrics_stream(ctx, interval_seconds=asked, after=one.cursor)
        assert following._seconds == seconds
        assert seconds - 5 < following._due - loop.time() <= seconds
    # A cursor of another clock delays by one interval at most.
    later = await metrics_stream(ctx, interval_seconds=2, after="OTk5OTk5OTk5OTk5OTk5OS4w")
    assert later._due - loop.time() <= 2


def test_a_cursor_is_read_as_it_was_written() -> None:
    place = BEGINNING._replace(xid=7, run_id=8, number=9)
    assert cursor_at(text_of(place)) == place
