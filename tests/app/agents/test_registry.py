"""The roster: every type of agent has one module, and each has something to do."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest
from support.agents import IMPORTS, MIXED, SERVICES, SITES, TOOLS, brief_of

from app.agents.job import AgentFailedError, Job, LearnedTemplate, PlannedTask
from app.agents.registry import agents
from app.agents.specification import specify
from app.agents.work import FIRST_TASK, plan, work
from sql.tables.llm import AGENT_TYPES

LEARNED = (LearnedTemplate("1", "Books", "REST API books title", ("python",), "X = 1\n", 95.0),)


def test_every_type_of_agent_is_on_the_roster() -> None:
    assert set(agents()) == set(AGENT_TYPES)
    assert all(agent.does.endswith(".") for agent in agents().values())


def test_every_agent_gets_a_task_from_some_project() -> None:
    texts = (*SERVICES, *TOOLS, *SITES, *IMPORTS, *MIXED)
    working = {task.agent_type for text in texts for task in plan(brief_of(text))} | {FIRST_TASK.agent_type}

    assert working == set(AGENT_TYPES)


@pytest.mark.parametrize("text", [SERVICES[3], TOOLS[2], SITES[1], IMPORTS[0], MIXED[0]])
def test_a_plan_can_be_done(text: str) -> None:
    tasks = plan(brief_of(text), LEARNED)

    keys = [task.key for task in tasks]
    assert len(set(keys)) == len(keys) == len({(task.name, task.agent_type) for task in tasks})
    assert list(TopologicalSorter({task.key: task.needs for task in tasks}).static_order())
    for at, task in enumerate(tasks):
        assert set(task.needs) <= set(keys[:at]), "it stands after what it needs"
        assert task.agent_type in AGENT_TYPES
        assert task.priority in {1, 2, 3}
        assert 0 < len(task.key) <= 50
        assert 0 < len(task.name) <= 255
        assert task.description
    assert tasks[-1].agent_type == "qa"
    assert set(tasks[-1].needs) >= {task.key for task in tasks if task.agent_type in {"security", "testing"}}


async def test_a_task_of_another_project_is_refused() -> None:
    brief = brief_of(SITES[0])
    for task in (
        PlannedTask("coder-rest_service", "coder", "Write the service", ""),
        PlannedTask("cook-1", "cook", "Cook", ""),
    ):
        with pytest.raises(AgentFailedError):
            await work(Job(brief, task, {}), None)


def test_two_tasks_write_no_file_twice() -> None:
    from app.agents.writing import agents_of, files_of

    spec = specify(brief_of(MIXED[0]))
    written = [path for agent_type in agents_of(spec) for path in files_of(spec, agent_type)]

    assert len(written) == len(set(written)) > 30
