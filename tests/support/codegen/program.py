"""A program of a tenant: it creates a project, follows its run to the end, and reads what has become of it.

It is given the server's address and the tenant's session token, and writes an object in JSON for each thing done.
"""

from __future__ import annotations

import asyncio
import json
import sys

from portal_client import Client
from portal_client.enums import AgentType, ProjectStatus, TaskStatus
from portal_client.exceptions import GraphQLClientGraphQLMultiError
from portal_client.fragments import ProjectFigures
from portal_client.input_types import CreateProjectInput, UpdateTaskInput


def told(**what: object) -> None:
    """Write what was done."""
    print(json.dumps(what), flush=True)


async def created(client: Client) -> ProjectFigures:
    """A new project."""
    given = CreateProjectInput(name="Shoe Shop", objective="Sell shoes")
    project: ProjectFigures = (await client.create_project(given)).create_project
    told(created=project.id, is_planned=project.status is ProjectStatus.PLANNING)
    return project


async def follow(client: Client, project_id: str) -> None:
    """Follow the project until its run has ended."""
    cursors: list[str | None] = []
    async for update in client.project_updates(project_id):
        figures = update.project_updates
        cursors.append(figures.cursor)
        if figures.status is ProjectStatus.COMPLETED:
            told(
                ended=figures.completion_percentage,
                tasks=figures.completed_tasks,
                are_distinct=len(set(cursors)) == len(cursors) > 1,
            )
            return


async def read(client: Client, project_id: str) -> str:
    """What has become of the project; the id of a task that has ended."""
    project = (await client.project(project_id)).project
    assert project is not None
    seconds: list[float] = [
        (task.completed_at - project.created_at).total_seconds()
        for task in project.tasks
        if task.completed_at is not None
    ]
    kinds: list[AgentType] = [agent.agent_type for agent in project.agents]
    told(agents=[kind.value for kind in kinds], are_later=[value >= 0 for value in seconds])
    return project.tasks[0].id


async def change(client: Client, task_id: str) -> None:
    """Try to change a task that has ended."""
    try:
        await client.update_task(UpdateTaskInput(task_id=task_id, status=TaskStatus.FAILED))
    except GraphQLClientGraphQLMultiError as failure:
        told(refused=[error.extensions["code"] for error in failure.errors if error.extensions])


async def main(address: str, token: str) -> None:
    """Do all of it."""
    bearer = {"Authorization": f"Bearer {token}"}
    async with Client(
        url=f"{address}/graphql",
        headers=bearer,
        ws_url=f"{address.replace('http', 'ws', 1)}/graphql",
        ws_connection_init_payload=bearer,
    ) as client:
        project = await created(client)
        await follow(client, project.id)
        await change(client, await read(client, project.id))


asyncio.run(main(*sys.argv[1:]))
