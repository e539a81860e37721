"""The subscriptions that the tenants' front end defines, over both transports, while a run is in progress."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gql import GraphQLRequest
from graphql import parse, validate
from support.front_end import ACTIVITY, METRICS, PROJECT, PROJECTS, STATS, STREAM, TASKS, UPDATES, percent
from support.graphql import data
from support.journey import until
from support.live import LiveServer
from support.runs import events_of, planned, ready_project, scripted, started, worked_off
from support.shapes import moment, optional, text, whole, words, wrong_in
from support.sockets import bearer, client, held, streamed

from app.resolvers.schema import schema

DOCUMENTS = (PROJECT, STATS, METRICS, PROJECTS, ACTIVITY, TASKS, STREAM, UPDATES)

SHAPES: dict[str, Any] = {
    ACTIVITY: {
        **dict.fromkeys(("id", "agentType", "agentId", "eventType", "message"), words),
        "timestamp": moment,
        "taskId": optional(words),
    },
    TASKS: {
        **dict.fromkeys(("id", "projectId", "title", "agentType"), words),
        "status": lambda value: value in {"PENDING", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED"},
        "agent": {"name": words, "agentType": words},
        "completedAt": optional(moment),
        "durationSeconds": optional(whole),
    },
    STREAM: {
        **dict.fromkeys(("activeAgents", "activeTasks", "tasksCompletedToday", "tasksFailedToday"), whole),
        **dict.fromkeys(("systemHealthScore", "cpuUsagePercent", "memoryUsagePercent"), percent),
        "timestamp": moment,
        "averageTaskDurationSeconds": lambda value: value >= 0,
    },
    UPDATES: {
        **dict.fromkeys(("id", "name"), words),
        "status": text,
        "completionPercentage": percent,
        **dict.fromkeys(("totalTasks", "completedTasks", "failedTasks"), whole),
        "updatedAt": moment,
    },
}


def test_the_documents_are_valid() -> None:
    assert len(DOCUMENTS) == 8
    assert [validate(schema(), parse(document)) for document in DOCUMENTS] == [[]] * 8


@pytest.mark.parametrize("transport", ["websocket", "events"])
@pytest.mark.parametrize("of_project", [True, False])
async def test_they_are_told_of_a_run_as_it_gets_on(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch, transport: str, of_project: bool
) -> None:
    scripted(monkeypatch, [planned("a"), planned("b", "a", "qa")])
    _, mine, project_id = await ready_project(sanic_client)
    told: dict[str, list[Any]] = {document: [] for document in SHAPES}

    async def read(document: str, events: AsyncIterator[dict[str, Any]]) -> None:
        async for event in events:
            (value,) = event.values()
            told[document].append(value)

    async with asyncio.timeout(30), client(sanic_client, bearer(mine)) as session:
        reading = []
        for document in SHAPES:
            # As the front end does where no project is chosen.
            variables = {"projectId": project_id if of_project or document == UPDATES else None}
            if transport == "websocket":
                events: Any = session.subscribe(GraphQLRequest(document, variable_values=variables))
            else:
                events = streamed(sanic_client, mine, document, variables)
            reading.append(asyncio.create_task(read(document, events)))
        await until(lambda: held(sanic_client)[1] == 3 and told[STREAM])
        run_id = await started(sanic_client, mine, project_id)
        for found in (
            await data(sanic_client, mine, PROJECT, id=project_id),
            await session.execute(GraphQLRequest(PROJECT, variable_values={"id": project_id})),
        ):
            assert (found["project"]["status"], found["project"]["agents"][0]["name"]) == (
                "IN_PROGRESS",
                "Orchestrator Agent",
            )
        await worked_off(sanic_client, run_id)
        kept = await events_of(sanic_client, run_id)
        of_tasks = [event for event in kept if event.task_id is not None]
        await until(lambda: len(told[UPDATES]) >= len(kept))
        await until(lambda: min(len(told[TASKS]), len(told[ACTIVITY])) >= len(of_tasks))
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    await until(lambda: held(sanic_client) == (0, 0))

    wrong = [
        place for document, all_told in told.items() for one in all_told for place in wrong_in(one, SHAPES[document])
    ]
    assert wrong == []
    assert [(one["eventType"], one["taskId"], one["message"]) for one in told[ACTIVITY]] == [
        (event.kind, str(event.task_id), event.message) for event in of_tasks
    ]
    assert [one["id"] for one in told[TASKS]] == [str(event.task_id) for event in of_tasks]
    last = {one["id"]: one for one in told[TASKS]}
    assert Counter(one["status"] for one in last.values()) == {"COMPLETED": 3}
    assert all(one["completedAt"] for one in last.values())
    assert len(told[UPDATES]) == len(kept)
    assert (told[UPDATES][0]["status"], told[UPDATES][-1]["status"]) == ("IN_PROGRESS", "COMPLETED")
    assert told[UPDATES][-1]["completionPercentage"] == 100
