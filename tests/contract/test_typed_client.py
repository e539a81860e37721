"""The typed client that is generated from the schema: it type-checks, and a program gets by with it alone."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest
from graphql import print_schema
from support.admin import as_tenant
from support.builders import licensed
from support.journey import until
from support.live import LiveServer
from support.projects import assign
from support.runs import planned, scripted, started, worked_off
from support.sockets import held
from support.tools import NotHereError
from support.typed_client import Generated, complaints, generated

from app.resolvers.schema import schema


@pytest.fixture(scope="session")
def typed_client(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """The client of this schema."""
    try:
        return generated(tmp_path_factory.mktemp("typed-client"), print_schema(schema()))
    except NotHereError as failure:
        pytest.skip(str(failure))


def test_client_and_program_have_the_types_that_they_say(typed_client: Generated) -> None:
    assert complaints(typed_client) == ""


def test_a_field_that_the_schema_does_not_have_is_no_attribute(typed_client: Generated) -> None:
    program = typed_client.folder / "program.py"
    text = program.read_text()
    program.write_text(text.replace("figures.completed_tasks", "figures.finished_tasks"))
    try:
        assert re.findall(r'has no attribute "(\w+)"', complaints(typed_client)) == ["finished_tasks"]
    finally:
        program.write_text(text)


async def test_a_program_asks_changes_and_follows(
    typed_client: Generated, sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [planned("a"), planned("b", "a", "qa")])
    tenant = await licensed(sanic_client)
    mine = await as_tenant(sanic_client, tenant.tenant_id)
    command = (str(typed_client.python), "program.py", sanic_client.base_url, mine["x-session-token"])
    process = await asyncio.create_subprocess_exec(*command, cwd=typed_client.folder, stdout=-1, stderr=-1)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            created = orjson.loads(await process.stdout.readline())
            await until(lambda: held(sanic_client)[1] == 1)
            assert (await assign(sanic_client, mine, created["created"], tenant.codes[0])).status_code == 200
            run_id = await started(sanic_client, mine, created["created"])
            await worked_off(sanic_client, run_id)
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert (complained, process.returncode) == (b"", 0)
    did: list[dict[str, Any]] = [orjson.loads(line) for line in said.splitlines()]
    assert [created, *did] == [
        {"created": "shoe-shop", "is_planned": True},
        {"ended": 100, "tasks": 3, "are_distinct": True},
        {"agents": ["CODER", "ORCHESTRATOR", "QA"], "are_later": [True] * 3},
        {"refused": ["task_ended"]},
    ]
