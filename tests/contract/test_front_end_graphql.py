"""The documents that the tenants' front end defines, sent as it sends them and read as strictly as it reads them."""

from __future__ import annotations

from datetime import timedelta

from support.admin import as_tenant
from support.builders import licensed
from support.front_end import METRICS, PROJECT, PROJECTS, STATS, percent
from support.graphql import TASKS, data, stored_project, stored_run
from support.live import LiveServer
from support.shapes import moment, optional, text, whole, words, wrong_in


def status(value: object) -> bool:
    return value in {"PLANNING", "IN_PROGRESS", "COMPLETED", "FAILED", "ON_HOLD"}


TASK = {"id": words, "title": words, "status": words, "durationSeconds": optional(whole)}
FIGURES = {
    "id": words,
    "name": words,
    "status": status,
    "completionPercentage": percent,
    **dict.fromkeys(("totalTasks", "completedTasks", "failedTasks"), whole),
}
AGENT = {
    "id": words,
    "agentType": words,
    "name": words,
    "status": lambda value: value in {"active", "idle"},
    "healthScore": percent,
    "tasksCompleted": whole,
    "tasksFailed": whole,
    "successRate": percent,
    "currentTaskId": optional(words),
    "lastActivity": moment,
}
SHAPES = {
    PROJECT: {
        "project": {
            **FIGURES,
            "objective": text,
            "successRate": percent,
            "estimatedTimeRemainingSeconds": optional(whole),
            "agents": [AGENT],
            "tasks": [{**TASK, "agentType": words}],
            "completedTasksList": [{**TASK, "agentType": words, "completedAt": moment}],
        }
    },
    STATS: {
        "dashboardStats": {
            **dict.fromkeys(
                ("totalProjects", "activeProjects", "totalTasks", "activeTasks", "completedTasksToday"), whole
            ),
            "averageSuccessRate": percent,
            "mostActiveAgent": optional(words),
            "recentActivities": [
                {"id": words, "agentType": words, "message": words, "timestamp": moment, "taskId": optional(words)}
            ],
        }
    },
    METRICS: {
        "systemMetrics": {
            **dict.fromkeys(("activeAgents", "activeTasks", "tasksCompletedToday", "tasksFailedToday"), whole),
            **dict.fromkeys(("systemHealthScore", "cpuUsagePercent", "memoryUsagePercent"), percent),
            "timestamp": moment,
            "averageTaskDurationSeconds": lambda value: value >= 0,
        }
    },
    PROJECTS: {"projects": [{**FIGURES, "tasks": [TASK]}]},
}


async def test_the_front_ends_documents_are_answered(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    session = await as_tenant(sanic_client, tenant.tenant_id)
    bearer = {"authorization": f"Bearer {session['x-session-token']}"}
    project_id = await stored_project(sanic_client, tenant)
    await stored_run(sanic_client, project_id, TASKS, started_at=sanic_client.ctx.now() - timedelta(minutes=2))

    wrong = []
    for document, shape in SHAPES.items():
        # Variables that a document does not know are sent as well.
        found = await data(sanic_client, bearer, document, id=project_id, filter=None)
        wrong += [f"{document[:30]}: {place}" for place in wrong_in(found, shape)]

    assert wrong == []
