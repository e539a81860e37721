"""The clients that programs use, in Python and in JavaScript, ask as the front end does while a run is in progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from gql import Client, GraphQLRequest
from gql.transport.httpx import HTTPXAsyncTransport
from support.front_end import ACTIVITY, PROJECT, STREAM, TASKS
from support.journey import until
from support.live import LiveServer
from support.node_clients import CLIENTS, clients_folder, node_clients
from support.runs import events_of, planned, ready_project, scripted, started, worked_off
from support.sockets import bearer, client, held
from support.tools import NotHereError

from app.agents.work import Job, Outcome

DOCUMENTS = {"Project": PROJECT, "AgentActivity": ACTIVITY, "TaskUpdates": TASKS, "SystemMetricsStream": STREAM}
# How often the status page's query is asked, in milliseconds; the front end asks every two seconds.
EVERY = 100

Answers = Callable[[str], list[Any]]


@pytest.fixture(scope="session")
def javascript() -> Path:
    """Where the clients of JavaScript are."""
    try:
        return clients_folder()
    except NotHereError as failure:
        pytest.skip(str(failure))


@contextlib.asynccontextmanager
async def python_clients(
    live: LiveServer, mine: Mapping[str, str], variables: Mapping[str, Any]
) -> AsyncIterator[dict[str, Answers]]:
    """The client of Python over HTTP, and over one WebSocket."""
    told: dict[str, list[Any]] = {name: [] for name in DOCUMENTS}
    asked: list[Any] = []
    headers = {"Authorization": f"Bearer {mine['x-session-token']}"}
    # Certificates would be read from files, and no connection here has one.
    options: dict[str, Any] = {"headers": headers, "trust_env": False, "verify": False}
    http = Client(transport=HTTPXAsyncTransport(f"{live.base_url}/graphql", **options))

    def request(name: str) -> GraphQLRequest:
        return GraphQLRequest(DOCUMENTS[name], variable_values=dict(variables))

    async def ask(session: Any, answers: list[Any]) -> None:
        while True:
            answers.append(await session.execute(request("Project")))
            await asyncio.sleep(EVERY / 1000)

    async def follow(session: Any, name: str) -> None:
        async for event in session.subscribe(request(name)):
            told[name].append(event)

    async with http as over_http, client(live, bearer(mine)) as over_socket:
        reading = [asyncio.create_task(ask(over_http, asked)), asyncio.create_task(ask(over_socket, told["Project"]))]
        reading += [asyncio.create_task(follow(over_socket, name)) for name in DOCUMENTS if name != "Project"]
        try:
            yield {"gql over HTTP": lambda name: asked, "gql over a WebSocket": told.__getitem__}
        finally:
            for task in reading:
                task.cancel()
            ended = await asyncio.gather(*reading, return_exceptions=True)
    assert {type(failure) for failure in ended} == {asyncio.CancelledError}


async def test_each_client_is_told_of_a_run_as_it_gets_on(
    javascript: Path, sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_by_all = asyncio.Event()

    async def work(job: Job) -> Outcome:
        """Every client has to see the run in progress before it may go on."""
        await seen_by_all.wait()
        return Outcome(files={"a.txt": b"a"}, message="written")

    scripted(monkeypatch, [planned("a"), planned("b", "a", "qa")], work)
    _, mine, project_id = await ready_project(sanic_client)
    token = mine["x-session-token"]
    of_node = {
        name: {
            "query": document,
            "variables": {"id" if name == "Project" else "projectId": project_id},
            "every": EVERY if name == "Project" else None,
        }
        for name, document in DOCUMENTS.items()
    }
    variables = {"id": project_id, "projectId": project_id}
    async with (
        asyncio.timeout(60),
        node_clients(javascript, sanic_client, token, of_node) as node,
        python_clients(sanic_client, mine, variables) as python,
    ):
        clients: dict[str, Answers] = {
            **{name: lambda document, name=name: bodies(node.of(name, document)) for name in CLIENTS},
            **python,
        }
        told = [answers for name, answers in clients.items() if name != "gql over HTTP"]
        # Two subscriptions of each follow events; figures come by themselves.
        await until(lambda: held(sanic_client)[1] == 2 * len(told) and all(one("SystemMetricsStream") for one in told))
        run_id = await started(sanic_client, mine, project_id)
        working = asyncio.create_task(worked_off(sanic_client, run_id))
        await until(lambda: all(statuses(one)[-1:] == ["IN_PROGRESS"] for one in clients.values()))
        seen_by_all.set()
        await working
        of_tasks = [str(event.task_id) for event in await events_of(sanic_client, run_id) if event.task_id]
        await until(
            lambda: all(len(one(name)) >= len(of_tasks) for one in told for name in ("AgentActivity", "TaskUpdates"))
        )
        await until(lambda: all(statuses(one)[-1:] == ["COMPLETED"] for one in clients.values()))

    for one in told:
        assert [event["agentActivity"]["taskId"] for event in one("AgentActivity")] == of_tasks
        assert [event["taskUpdates"]["id"] for event in one("TaskUpdates")] == of_tasks
    await until(lambda: held(sanic_client) == (0, 0))
    # Queries end; whatever is followed has ended because its client hung up.
    assert [end for end in node.ends if "complete" not in end] == []


def statuses(answers: Answers) -> list[str]:
    """What the project was, each time that it was asked for."""
    return [answer["project"]["status"] for answer in answers("Project")]


def bodies(answers: list[Any]) -> list[Any]:
    """The data of answers without errors."""
    assert [answer for answer in answers if answer.get("errors")] == []
    return [answer["data"] for answer in answers]
