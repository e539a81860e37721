"""GraphQL over WebSockets: who may ask, what each message is answered, and what is left when either side has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gql import GraphQLRequest
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import Licensed, activated, licensed
from support.journey import until
from support.live import LiveServer, live_server
from support.projects import created
from support.refusals import Findings
from support.sockets import Talk, bearer, client, held, talk
from support.watching import begun, happen
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.services import connections
from app.services.runs import watches
from app.settings import Settings
from blueprints.graphql_api import sockets

TASKS = "subscription($projectId: String, $after: String) { taskUpdates(projectId: $projectId, after: $after) { id } }"
PROJECT = "subscription($id: String!) { projectUpdates(projectId: $id) { id status totalTasks cursor } }"
METRICS = "subscription { systemMetricsStream(intervalSeconds: 1) { activeTasks cpuUsagePercent cursor } }"


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens every two seconds happens at once, so that no test waits for it."""
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.05)


async def code_of(live: LiveServer, say: Callable[[Talk], Any], **headers: str) -> int | None:
    async with talk(live, **headers) as socket:
        await say(socket)
        return await socket.code()


def test_credentials_are_looked_at_often_enough() -> None:
    assert 2 * connections.LOOK_SECONDS < 5


async def test_queries_and_changes_are_answered_as_over_http(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    await created(sanic_client, tenant, "Hat Shop")
    async with client(sanic_client, bearer(mine)) as session:
        found = await session.execute(GraphQLRequest("{ projects { name } }"))
        made = await session.execute(
            GraphQLRequest(
                "mutation($input: CreateProjectInput!) { createProject(input: $input) { id } }",
                variable_values={"input": {"name": "Shoe Shop", "objective": "Sell shoes"}},
            )
        )

    assert found == {"projects": [{"name": "Hat Shop"}]}
    assert made == {"createProject": {"id": "shoe-shop"}}
    assert held(sanic_client) == (0, 0)


async def test_a_project_is_told_whenever_something_happens(sanic_client: LiveServer) -> None:
    run = await begun(sanic_client)
    other = await begun(sanic_client)
    async with talk(sanic_client) as socket:
        await socket.begin(bearer(run.headers))
        await socket.subscribe(PROJECT, id=run.project_id)
        await until(lambda: held(sanic_client) == (1, 1))
        await happen(sanic_client.runtime, other, 2)
        await happen(sanic_client.runtime, run, 2)
        told = [await socket.heard() for _ in range(2)]
        await socket.say("complete", id="1")
        await until(lambda: held(sanic_client) == (1, 0))
        await socket.say("ping", payload={"x": 1})
        assert await socket.heard() == {"type": "pong"}
        # A completed id may be used again.
        await socket.subscribe("{ projects { id } }")
        assert [(await socket.heard())["type"] for _ in range(2)] == ["next", "complete"]

    projects = [message["payload"]["data"]["projectUpdates"] for message in told]
    assert [(one["id"], one["status"], one["totalTasks"]) for one in projects] == [
        (run.project_id, "IN_PROGRESS", 1)
    ] * 2
    assert len({one["cursor"] for one in projects}) == 2
    await until(lambda: held(sanic_client) == (0, 0))


NO_MESSAGES: list[tuple[str | bytes, int]] = [
    ("[]", 4400),
    ("{", 4400),
    ('"text"', 4400),
    (b"\x00\x01", 4400),
    ("{}", 4400),
    ('{"type": 5}', 4400),
    ('{"type": "start", "id": "1", "payload": {}}', 4400),
    ('{"type": "connection_init", "payload": []}', 4400),
    ('{"type": "connection_init", "payload": {"Authorization": 5}}', 4400),
    ('{"type": "subscribe", "id": "1", "payload": {"query": "{ projects { id } }"}}', 4401),
    ('{"type": "subscribe", "id": 1, "payload": {"query": "{ projects { id } }"}}', 4400),
    ('{"type": "subscribe", "payload": {"query": "{ projects { id } }"}}', 4400),
    ('{"type": "subscribe", "id": "1"}', 4400),
    ('{"type": "connection_init"}', 4401),
    ("x" * 2_000_000, 1009),
]


async def test_what_is_no_message_closes_the_connection(
    sanic_client: LiveServer, capfd: pytest.CaptureFixture[str]
) -> None:
    findings = Findings()
    for sent, code in NO_MESSAGES:
        async with talk(sanic_client) as socket:
            await socket.connection.send(sent)
            told = await socket.code()
        await until(lambda: held(sanic_client) == (0, 0))
        findings.add(sent, told, code)

    assert findings.found == findings.expected
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_a_text_that_is_none_closes_the_connection(
    sanic_client: LiveServer, mine: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    async with talk(sanic_client) as socket:
        await socket.begin(bearer(mine))
        await socket.subscribe(TASKS)
        await until(lambda: held(sanic_client) == (1, 1))
        await socket.connection.send(b"\xff\xfe", text=True)
        assert await socket.code() == 1007
    await until(lambda: held(sanic_client) == (0, 0))
    assert "Traceback" not in "".join(capfd.readouterr())


NO_PAYLOADS: list[dict[str, Any]] = [
    {},
    {"query": 5},
    {"query": None},
    {"query": "{ projects { id } }", "variables": []},
    {"query": "{ projects { id } }", "operationName": 5},
]


async def test_a_payload_that_is_none_closes_the_connection(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    findings = Findings()
    for payload in NO_PAYLOADS:
        async with talk(sanic_client) as socket:
            await socket.begin(bearer(mine))
            await socket.say("subscribe", id="1", payload=payload)
            findings.add(payload, await socket.code(), 4400)

    assert findings.found == findings.expected


async def test_what_cannot_be_run_is_told_and_the_connection_stays(
    sanic_client: LiveServer, mine: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    other = await begun(sanic_client)
    refused = [
        ("{ nothing }", {}, "graphql_invalid"),
        ("{", {}, "graphql_invalid"),
        (TASKS, {"projectId": 5}, "graphql_invalid"),
        (TASKS, {"projectId": other.project_id}, "project_not_found"),
        (TASKS, {"after": "nonsense"}, "validation_error"),
        (TASKS, {"after": "MS4yLjM.!"}, "validation_error"),
        ('subscription { systemMetricsStream(after: "\u00e9") { activeTasks } }', {}, "validation_error"),
        (PROJECT, {}, "graphql_invalid"),
        ("subscription { taskUpdates { id } agentActivity { id } }", {}, "graphql_invalid"),
        ("{ projects(limit: 200) { tasks(limit: 200) { id } } }", {}, "graphql_too_costly"),
    ]
    async with talk(sanic_client) as socket:
        await socket.begin(bearer(mine))
        for query, variables, code in refused:
            await socket.subscribe(query, **variables)
            message = await socket.heard()
            assert message["type"] == "error", message
            assert message["payload"][0]["extensions"]["code"] == code, message
    assert "Traceback" not in "".join(capfd.readouterr())
    await until(lambda: held(sanic_client) == (0, 0))


async def test_the_protocols_other_codes(
    sanic_client: LiveServer, mine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talk(sanic_client) as socket:
        await socket.begin(bearer(mine))
        await socket.say("connection_init", payload=bearer(mine))
        assert await socket.code() == 4429
    async with talk(sanic_client) as socket:
        await socket.begin(bearer(mine))
        await socket.subscribe(METRICS)
        await socket.heard()
        await socket.subscribe(METRICS)
        assert await socket.code() == 4409
    monkeypatch.setattr(sockets, "INIT_SECONDS", 0.05)
    assert await code_of(sanic_client, lambda socket: socket.say("ping")) == 4408
    await until(lambda: held(sanic_client) == (0, 0))


async def test_who_may_not_ask_is_refused(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client, tenant)
    cookie = (await operator_cookie(sanic_client))["cookie"]
    own = sanic_client.runtime.settings.public_url

    def init(authorization: str) -> Callable[[Talk], Any]:
        return lambda socket: socket.say("connection_init", payload={"Authorization": authorization})

    assert await code_of(sanic_client, init("Bearer ended")) == 4401
    assert await code_of(sanic_client, init(device.headers["authorization"])) == 4401
    assert await code_of(sanic_client, init("Bearer pat_ended")) == 4401
    assert await code_of(sanic_client, init("Basic ended")) == 4401
    # A cookie is no credential here, whatever page it is sent from.
    assert await code_of(sanic_client, lambda socket: socket.say("connection_init"), cookie=cookie, origin=own) == 4401
    monkeypatch.setattr("app.access.permissions.Role.permissions", frozenset())
    api_token = (await as_operator(sanic_client))["authorization"]
    assert await code_of(sanic_client, init(api_token)) == 4403


async def test_pages_of_other_origins_may_not_connect(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    for origin, status in (("https://evil.example", 403), ("null", 403)):
        with pytest.raises(InvalidStatus) as refused:
            async with talk(sanic_client, origin=origin):
                pass
        assert refused.value.response.status_code == status
    async with talk(sanic_client, origin="http://localhost:3000") as socket:
        await socket.begin(bearer(mine))


async def test_a_token_in_the_headers_is_good_as_well(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    for headers in (mine, await as_operator(sanic_client)):
        async with talk(sanic_client, **headers) as socket:
            await socket.begin()
            await socket.subscribe("{ projects { id } }")
            assert (await socket.heard())["payload"]["data"] == {"projects": []}


async def test_connections_and_operations_are_bounded(settings: Settings) -> None:
    limits = {"graphql_max_connections_per_caller": 1, "graphql_max_connections": 2, "graphql_max_operations": 2}
    async with live_server(settings.model_copy(update=limits)) as live:
        mine = await as_tenant(live, (await licensed(live)).tenant_id)
        async with talk(live) as socket, talk(live) as second:
            await socket.begin(bearer(mine))
            await second.say("connection_init", payload=bearer(mine))
            assert await second.code() == 1013
            await until(lambda: held(live) == (1, 0))
            async with talk(live):
                with pytest.raises(InvalidStatus) as refused:
                    async with talk(live):
                        pass
                assert refused.value.response.status_code == 503
            for number in range(2):
                await socket.subscribe(TASKS, f"s{number}")
            await socket.subscribe(TASKS, "more")
            message = await socket.heard()
            assert (message["id"], message["payload"][0]["extensions"]["code"]) == ("more", "too_many_operations")


async def test_the_end_of_a_session_ends_its_connections(
    sanic_client: LiveServer, mine: dict[str, str], looking_often: None
) -> None:
    async with talk(sanic_client) as idle, talk(sanic_client) as socket:
        for one in (idle, socket):
            await one.begin(bearer(mine))
        await socket.subscribe(METRICS)
        await socket.heard()
        assert (await sanic_client.http.post("/api/tenant/auth/logout", headers=mine)).status_code in {200, 204}
        assert await socket.code() == 4401
        assert await idle.code() == 4401
    await until(lambda: held(sanic_client) == (0, 0))


async def test_a_session_that_ends_amid_a_subscription_closes_the_connection(
    sanic_client: LiveServer, mine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "LOOK_SECONDS", 0.05)
    async with talk(sanic_client) as socket:
        await socket.begin(bearer(mine))
        await socket.subscribe(TASKS)
        await until(lambda: held(sanic_client) == (1, 1))
        assert (await sanic_client.http.post("/api/tenant/auth/logout", headers=mine)).status_code == 204
        # Whoever follows events for it has seen the end first, and says nothing else.
        with pytest.raises(ConnectionClosed):
            await socket.heard()
        assert socket.connection.close_code == 4401


async def test_a_server_that_stops_says_so(settings: Settings) -> None:
    async with live_server(settings) as live:
        run = await begun(live)
        async with talk(live) as socket:
            await socket.begin(bearer(run.headers))
            await socket.subscribe(TASKS)
            await until(lambda: held(live) == (1, 1))
            draining = asyncio.create_task(live.runtime.drain())
            assert await socket.code() == 1001
            await draining
        assert held(live) == (0, 0)


async def test_a_client_that_is_cut_off_leaves_nothing(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    async with talk(sanic_client) as socket:
        await socket.begin(bearer(mine))
        for number in range(5):
            await socket.subscribe(TASKS, f"s{number}")
        await until(lambda: held(sanic_client) == (1, 5))
        socket.connection.transport.abort()
        await until(lambda: held(sanic_client) == (0, 0))


async def test_the_budget_holds_here_too(settings: Settings) -> None:
    async with live_server(settings.model_copy(update={"graphql_cost_per_minute": 60})) as live:
        run = await begun(live)
        async with talk(live) as socket:
            await socket.begin(bearer(run.headers))
            await socket.subscribe("{ dashboardStats { totalTasks } }")
            message = await socket.heard()
            assert message["payload"][0]["extensions"]["code"] == "rate_limited"
