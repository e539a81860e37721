"""Projects, tasks and agents in GraphQL: what they show, in which order, and with how many statements."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.admin import as_operator, as_tenant
from support.builders import Licensed, licensed
from support.graphql import TASKS, Stored, configured, data, stored_project, stored_run
from support.live import LiveServer
from support.rows import row_counts, told
from support.statements import counted_statements

from app.services.projects.details import any_project
from sql.tables import projects

PROJECT = """query Project($id: String!) { project(id: $id) {
  id name objective status completionPercentage totalTasks completedTasks failedTasks successRate
  estimatedTimeRemainingSeconds
  agents { id agentType name status healthScore tasksCompleted tasksFailed currentTaskId lastActivity successRate }
  tasks(status: IN_PROGRESS, limit: 20) { id title status agentType durationSeconds }
  completedTasksList: tasks(status: COMPLETED, limit: 50) { id title status agentType completedAt durationSeconds } }
}"""


async def test_the_status_page_gets_a_run_that_goes_on(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    project_id, ids = going_on
    await configured(sanic_client, project_id, "security")

    with counted_statements(sanic_client.runtime.db) as seen:
        found = (await data(sanic_client, mine, PROJECT, id=project_id))["project"]

    agents = {agent["agentType"]: agent for agent in found.pop("agents")}
    assert list(agents) == ["CODER", "FRONTEND", "ORCHESTRATOR", "QA", "SECURITY"]
    began = (sanic_client.ctx.now() - timedelta(minutes=2)).replace(microsecond=0)
    assert agents["CODER"].pop("lastActivity") > began.isoformat()
    assert agents["CODER"] == {
        "id": "hat-shop-coder",
        "agentType": "CODER",
        "name": "Coder Agent",
        "status": "active",
        "healthScore": 100.0,
        "tasksCompleted": 2,
        "tasksFailed": 0,
        "currentTaskId": str(ids[3]),
        "successRate": 100.0,
    }
    assert {name: (agent["status"], agent["healthScore"], agent["tasksFailed"]) for name, agent in agents.items()} == {
        "CODER": ("active", 100.0, 0),
        "FRONTEND": ("idle", 0.0, 0),
        "ORCHESTRATOR": ("idle", 100.0, 0),
        "QA": ("idle", 0.0, 1),
        "SECURITY": ("idle", 0.0, 0),
    }
    completed = found.pop("completedTasksList")
    assert [(task["id"], task["durationSeconds"]) for task in completed] == [
        (str(ids[0]), 5),
        (str(ids[2]), 20),
        (str(ids[1]), 30),
    ]
    assert all(task["completedAt"].endswith("Z") and task["status"] == "COMPLETED" for task in completed)
    # The mean of the completed ones, 18.5 seconds, for the two that are open.
    assert found == {
        "id": "hat-shop",
        "name": "Hat Shop",
        "objective": "Sell hats\nShip them",
        "status": "IN_PROGRESS",
        "completionPercentage": 67.0,
        "totalTasks": 6,
        "completedTasks": 3,
        "failedTasks": 1,
        "successRate": 75.0,
        "estimatedTimeRemainingSeconds": 37,
        "tasks": [
            {
                "id": str(ids[3]),
                "title": "Task 3",
                "status": "IN_PROGRESS",
                "agentType": "CODER",
                "durationSeconds": None,
            }
        ],
    }
    # The session, the project, its agents by their work and by their settings, both lists of tasks, the mean.
    assert len(seen) == 6


async def test_statements_depend_on_what_is_asked_and_not_on_how_many_there_are(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    document = """{ projects(limit: 5) { id agents { name } estimatedTimeRemainingSeconds
      all: tasks(limit: 20) { id project { name } agent { name } } done: tasks(status: COMPLETED, limit: 20) { id } }
    }"""
    counts = []
    for name in ("One", "Two", "Three"):
        await stored_run(sanic_client, await stored_project(sanic_client, tenant, name), TASKS)
        with counted_statements(sanic_client.runtime.db) as seen:
            found = await data(sanic_client, mine, document)
        counts.append(len(seen))

    assert len(found["projects"]) == 3
    assert all(task["agent"]["name"] for project in found["projects"] for task in project["all"])
    # Beside the session: the page; agents twice, tasks once, the mean once; for tasks their projects. Their agents are
    # those of the projects.
    assert counts == [7, 7, 7]


async def test_reading_changes_nothing(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    before, trail = await row_counts(sanic_client), await told(sanic_client)
    project = await any_project(sanic_client.ctx, going_on[0])

    await data(sanic_client, mine, PROJECT, id=going_on[0])
    await data(sanic_client, mine, "{ dashboardStats { totalTasks } systemMetrics { activeTasks } agents { id } }")

    assert await row_counts(sanic_client) == before
    assert await told(sanic_client) == trail
    assert await any_project(sanic_client.ctx, going_on[0]) == project


@pytest.mark.parametrize(
    ("status", "percentage"),
    [("pending", ("PLANNING", 0.0)), ("running", ("IN_PROGRESS", 5.0)), ("completed", ("COMPLETED", 100.0)),
     ("failed", ("FAILED", 0.0)), ("paused", ("ON_HOLD", 0.0))],
)  # fmt: skip
async def test_a_project_without_tasks_stands_where_its_status_says(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], status: str, percentage: tuple[str, float]
) -> None:
    project_id = await stored_project(sanic_client, tenant)
    async with sanic_client.ctx.write() as conn:
        await conn.affected(projects.update().values(execution_status=status))

    found = (await data(sanic_client, mine, PROJECT, id=project_id))["project"]

    assert (found["status"], found["completionPercentage"]) == percentage
    assert (found["totalTasks"], found["successRate"], found["estimatedTimeRemainingSeconds"]) == (0, 0.0, None)
    assert (found["agents"], found["tasks"], found["completedTasksList"]) == ([], [], [])


async def test_before_a_task_is_completed_the_rest_is_estimated_by_what_has_passed(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    project_id = await stored_project(sanic_client, tenant)
    began = sanic_client.ctx.now() - timedelta(seconds=100)
    tasks = [Stored(status="failed", started=1, ended=2), Stored(status="running", started=3), Stored(), Stored()]
    await stored_run(sanic_client, project_id, tasks, started_at=began)

    found = (await data(sanic_client, mine, PROJECT, id=project_id))["project"]

    # A quarter is finished after 100 seconds and what this test took.
    assert found["estimatedTimeRemainingSeconds"] - 300 in range(60)


async def test_a_list_by_status_is_of_the_newest_run_and_all_tasks_of_all_runs(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    project_id = await stored_project(sanic_client, tenant)
    began = sanic_client.ctx.now() - timedelta(hours=1)
    old = [Stored(status="completed", started=1, ended=2), Stored(status="cancelled", created=1, ended=3)]
    old_ids = await stored_run(sanic_client, project_id, old, state="failed", started_at=began)
    new_ids = await stored_run(sanic_client, project_id, [*old, Stored(created=2)])

    document = """query($id: String!) { project(id: $id) { totalTasks
      all: tasks { id } few: tasks(limit: 1) { id } none: tasks(limit: 0) { id } many: tasks(limit: 5000) { id }
      done: tasks(status: COMPLETED) { id } off: tasks(status: CANCELLED) { id } open: tasks(status: PENDING) { id } }
    }"""
    found = (await data(sanic_client, mine, document, id=project_id))["project"]

    def ids(name: str) -> list[int]:
        return [int(task["id"]) for task in found[name]]

    assert found["totalTasks"] == 3
    # Newest first; those of one moment by their ids.
    assert ids("all") == ids("many") == [new_ids[2], new_ids[1], new_ids[0], old_ids[1], old_ids[0]]
    assert (ids("few"), ids("none")) == ([new_ids[2]], [])
    assert (ids("done"), ids("off"), ids("open")) == ([new_ids[0]], [new_ids[1]], [new_ids[2]])


async def test_an_agent_that_is_switched_off_is_idle(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    await configured(sanic_client, going_on[0], "coder", enabled=False)

    found = await data(sanic_client, mine, PROJECT, id=going_on[0])

    (coder,) = [agent for agent in found["project"]["agents"] if agent["agentType"] == "CODER"]
    assert coder["status"] == "idle"


async def test_projects_are_filtered_and_ordered(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], clock: Any
) -> None:
    for name in ("Hat Shop", "Shoe shop", "50% off"):
        await stored_project(sanic_client, tenant, name, client_name="SHOES" if name == "Shoe shop" else None)
        clock.move(seconds=10)
    await stored_run(sanic_client, "hat-shop", TASKS)
    document = """query($filter: ProjectFilterInput, $limit: Int! = 20, $offset: Int! = 0) {
      projects(filter: $filter, limit: $limit, offset: $offset) { id createdAt } }"""

    async def ids(**variables: Any) -> list[str]:
        return [one["id"] for one in (await data(sanic_client, mine, document, **variables))["projects"]]

    assert await ids() == ["50-off", "shoe-shop", "hat-shop"]
    assert await ids(limit=1, offset=1) == ["shoe-shop"]
    assert await ids(limit=0) == []
    assert await ids(filter={"status": "IN_PROGRESS"}) == ["hat-shop"]
    assert await ids(filter={"status": "ON_HOLD"}) == []
    # By the name that is shown, and no character stands for others.
    assert await ids(filter={"nameContains": "shoes"}) == ["shoe-shop"]
    assert await ids(filter={"nameContains": "%"}) == ["50-off"]
    after = (await data(sanic_client, mine, document))["projects"][2]["createdAt"]
    assert await ids(filter={"createdAfter": after, "status": None}) == ["50-off", "shoe-shop"]
    assert await ids(filter={"createdAfter": after.removesuffix("Z")}) == ["50-off", "shoe-shop"]


async def test_tasks_are_filtered_and_ordered(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    _, first = going_on
    second = await stored_run(sanic_client, await stored_project(sanic_client, tenant, "Other"), [Stored("qa")])
    document = """query($filter: TaskFilterInput, $limit: Int! = 50, $offset: Int! = 0) {
      tasks(filter: $filter, limit: $limit, offset: $offset) { id projectId createdAt project { name } agent { id } }
    }"""

    async def ids(who: dict[str, str] = mine, **variables: Any) -> list[int]:
        return [int(one["id"]) for one in (await data(sanic_client, who, document, **variables))["tasks"]]

    assert await ids() == [*second, *reversed(first)]
    assert await ids(await as_operator(sanic_client)) == [*second, *reversed(first)]
    assert await ids(limit=2, offset=1) == [first[5], first[4]]
    assert await ids(filter={"agentType": "QA"}) == [*second, first[4]]
    assert await ids(filter={"agentType": "QA", "status": "FAILED"}) == [first[4]]
    assert await ids(filter={"status": "IN_PROGRESS"}) == [first[3]]
    assert await ids(filter={"projectId": "other"}) == second
    assert await ids(filter={"projectId": "nothing"}) == []
    tasks = (await data(sanic_client, mine, document))["tasks"]
    assert await ids(filter={"createdAfter": tasks[1]["createdAt"]}) == second
    assert (tasks[0]["project"]["name"], tasks[0]["agent"]["id"]) == ("Other", "other-qa")


async def test_agents_and_figures_over_all_runs(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    project_id, ids = going_on
    document = """query($type: AgentType, $least: Float! = 0) { agents(agentType: $type, minHealth: $least) {
      id name type status healthScore currentTaskId } }"""

    found = (await data(sanic_client, mine, document))["agents"]
    assert [agent["id"] for agent in found] == ["agent-coder", "agent-frontend", "agent-orchestrator", "agent-qa"]
    assert found[0] == {
        "id": "agent-coder",
        "name": "Coder Agent",
        "type": "CODER",
        "status": "active",
        "healthScore": 66.67,
        "currentTaskId": str(ids[3]),
    }
    healthy = (await data(sanic_client, mine, document, least=50))["agents"]
    assert [agent["type"] for agent in healthy] == ["CODER", "ORCHESTRATOR"]
    assert [agent["type"] for agent in (await data(sanic_client, mine, document, type="QA"))["agents"]] == ["QA"]

    stats = """{ dashboardStats { totalProjects activeProjects totalTasks activeTasks completedTasksToday
      averageSuccessRate mostActiveAgent recentActivities { id agentType agentId eventType message taskId metadata } }
    }"""
    told = (await data(sanic_client, mine, stats))["dashboardStats"]
    latest = told.pop("recentActivities")
    assert told == {
        "totalProjects": 1,
        "activeProjects": 1,
        "totalTasks": 6,
        "activeTasks": 1,
        "completedTasksToday": 3,
        "averageSuccessRate": 75.0,
        "mostActiveAgent": "CODER",
    }
    assert latest[0] == {
        "id": str(ids[1]),
        "agentType": "CODER",
        "agentId": f"{project_id}-coder",
        "eventType": "task_completed",
        "message": "Coder Agent completed: Task 1",
        "taskId": str(ids[1]),
        "metadata": None,
    }
    assert [activity["taskId"] for activity in latest] == [str(ids[place]) for place in (1, 2, 0)]

    metrics = """{ systemMetrics { timestamp activeAgents activeTasks tasksCompletedToday tasksFailedToday
      averageTaskDurationSeconds systemHealthScore cpuUsagePercent memoryUsagePercent } }"""
    measured = (await data(sanic_client, mine, metrics))["systemMetrics"]
    assert 0 <= measured.pop("cpuUsagePercent") <= 100
    assert 0 < measured.pop("memoryUsagePercent") <= 100
    assert measured.pop("timestamp").endswith("Z")
    assert measured == {
        "activeAgents": 1,
        "activeTasks": 1,
        "tasksCompletedToday": 3,
        "tasksFailedToday": 1,
        "averageTaskDurationSeconds": 18.5,
        "systemHealthScore": 75.0,
    }


async def test_nothing_is_counted_of_yesterday(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]
) -> None:
    began = sanic_client.ctx.now() - timedelta(days=1, hours=1)
    await stored_run(sanic_client, await stored_project(sanic_client, tenant), TASKS, started_at=began)

    found = await data(
        sanic_client,
        mine,
        "{ systemMetrics { tasksCompletedToday tasksFailedToday } dashboardStats { completedTasksToday totalTasks } }",
    )

    assert found == {
        "systemMetrics": {"tasksCompletedToday": 0, "tasksFailedToday": 0},
        "dashboardStats": {"completedTasksToday": 0, "totalTasks": 6},
    }


async def test_whoever_has_nothing_gets_zeros(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    found = await data(
        sanic_client,
        mine,
        """{ agents { id } tasks { id } projects { id } project(id: "none") { id }
        dashboardStats { totalTasks averageSuccessRate mostActiveAgent recentActivities { id } }
        systemMetrics { systemHealthScore averageTaskDurationSeconds } }""",
    )

    assert found == {
        "agents": [],
        "tasks": [],
        "projects": [],
        "project": None,
        "dashboardStats": {
            "totalTasks": 0,
            "averageSuccessRate": 0.0,
            "mostActiveAgent": None,
            "recentActivities": [],
        },
        "systemMetrics": {"systemHealthScore": 100.0, "averageTaskDurationSeconds": 0.0},
    }


async def test_a_tenant_sees_its_own_and_an_operator_everything(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    other = await licensed(sanic_client)
    theirs = await as_tenant(sanic_client, other.tenant_id)
    await stored_run(sanic_client, await stored_project(sanic_client, other, "Secret"), [Stored("security", "running")])
    document = """{ projects { id } tasks { projectId } agents { type } dashboardStats { totalProjects totalTasks }
      systemMetrics { activeTasks } mine: project(id: "hat-shop") { id } theirs: project(id: "secret") { id } }"""

    own, others = await data(sanic_client, mine, document), await data(sanic_client, theirs, document)
    everything = await data(sanic_client, await as_operator(sanic_client, "read_only"), document)

    assert [project["id"] for project in own["projects"]] == ["hat-shop"]
    assert (own["mine"], own["theirs"]) == ({"id": "hat-shop"}, None)
    assert own["dashboardStats"] == {"totalProjects": 1, "totalTasks": 6}
    assert others["projects"] == [{"id": "secret"}]
    assert (others["mine"], others["theirs"]) == (None, {"id": "secret"})
    assert {task["projectId"] for task in others["tasks"]} == {"secret"}
    assert (others["agents"], others["systemMetrics"]) == ([{"type": "SECURITY"}], {"activeTasks": 1})
    assert {project["id"] for project in everything["projects"]} == {"hat-shop", "secret"}
    assert (everything["mine"], everything["theirs"]) == ({"id": "hat-shop"}, {"id": "secret"})
    assert everything["dashboardStats"] == {"totalProjects": 2, "totalTasks": 7}
