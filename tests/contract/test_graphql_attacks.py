"""Attacks on GraphQL: documents, variables and messages that are made to break it are refused, over every transport."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from support.admin import as_tenant
from support.builders import licensed
from support.front_end import PROJECT
from support.graphql import PATH
from support.journey import until
from support.live import LiveServer, live_server
from support.sockets import Talk, bearer, held, talk
from websockets.exceptions import ConnectionClosed

from app.settings import Settings

STREAM = {"accept": "text/event-stream"}
SEED = 20271
MESSAGES = 5_000 if os.environ.get("PORTAL_PROOF") == "full" else 100
DEEP = 3_000
LIMITS = ("graphql_max_depth", "graphql_max_tokens", "graphql_max_aliases")

CREATE = 'mutation {{ createProject(input: {{name: "a", objective: "{}", config: "{}"}}) {{ id }} }}'

DOCUMENTS = {
    "nothing": "",
    "a blank": " \n\t",
    "a comment": "# nothing",
    "a byte order mark": "\ufeff{ projects { id } }",
    "only a fragment": "fragment a on Project { id }",
    "a cycle of fragments": "{ projects { ...a } } fragment a on Project { tasks { project { ...a } } }",
    "a fragment in itself": "{ ...a } fragment a on Query { ...a }",
    "fragments that double": "{ ...f0 } "
    + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(25))
    + " fragment f25 on Query { agents { id } }",
    "deep selections": "{ a " * DEEP + "}" * DEEP,
    "deep lists": "{ projects(filter: " + "[" * DEEP + "]" * DEEP + ") { id } }",
    "deep objects": "{ projects(filter: " + "{a: " * DEEP + "1" + "}" * DEEP + ") { id } }",
    "deep types": "query($a: " + "[" * DEEP + "Int" + "]" * DEEP + ") { agents { id } }",
    "deep inline fragments": "{ " + "... { " * 300 + "agents { id }" + " }" * 300 + " }",
    "a cost beneath inline fragments": "{ ... { ... { projects(limit: 200) { ... { tasks(limit: 200) { id } } } } } }",
    "many directives": "{ agents { id " + "@include(if: true) " * 150 + "} }",
    "an unknown directive": "{ agents @nothing { id } }",
    "deferred": "{ ... @defer { agents { id } } }",
    "streamed": "{ agents @stream { id } }",
    "a large number": "{ projects(limit: 99999999999999999999999999) { id } }",
    "a number beyond all": "{ agents(minHealth: 1e999999) { id } }",
    "a long number": "{ projects(limit: " + "9" * 20_000 + ") { id } }",
    "half a surrogate": '{ project(id: "\\uD800") { id } }',
    "an escape of nothing": '{ project(id: "\\u{110000}") { id } }',
    "a NUL": '{ project(id: "a\\u0000b") { id } }',
    "a long id": '{ project(id: "' + "x" * 50_000 + '") { id } }',
    "a quote for a database": "{ project(id: \"'; DROP TABLE projects; --\") { id } }",
    "a wildcard": '{ projects(filter: {nameContains: "%_\\\\"}) { id } }',
    "an impossible moment": '{ tasks(filter: {createdAfter: "0000-99-99T99:99:99Z"}) { id } }',
    "a moment beyond all": '{ tasks(filter: {createdAfter: "9999-12-31T23:59:59-23:59"}) { id } }',
    "the first moment": '{ tasks(filter: {createdAfter: "0001-01-01T00:00:00+23:59"}) { id } }',
    "a number as moment": "{ tasks(filter: {createdAfter: 1}) { id } }",
    "no operation of this schema": "type Query { a: Int }",
    "two without names": "{ agents { id } } { agents { id } }",
    "two subscriptions at once": "subscription { taskUpdates { id } agentActivity { id } }",
    "a question about questions": "{ __schema { types " + "{ fields { type " * 5 + "{ name }" + "} }" * 5 + " } }",
    "a name that is none": "{ \u00fc }",
    "an open string": '{ project(id: "',
    "an open block": '{ project(id: """',
    "a task that is no number": 'mutation { updateTask(input: {taskId: "\u0661e9", status: FAILED}) { id } }',
    "a task beyond all": 'mutation { updateTask(input: {taskId: "99999999999999999999", status: FAILED}) { id } }',
    "an objective that is too long": CREATE.format("x" * 200_000, ""),
    "settings that are no object": CREATE.format("b", "[[[["),
    "settings that are deep": CREATE.format("b", "[" * DEEP),
    "a cursor": 'subscription { taskUpdates(after: "%00\\uFFFF") { id } }',
    "a cursor beyond all": 'subscription { taskUpdates(after: "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS4xLjE") { id } }',
}  # fmt: skip
VARIABLES: dict[str, Any] = {
    "a list": {"id": ["a"]},
    "an object": {"id": {"a": 1}},
    "a number": {"id": 2**63},
    "a fraction": {"id": 1e308},
    "null": {"id": None},
    "nothing": {},
    "a text that is long": {"id": "x" * 100_000},
    "a NUL": {"id": "\x00"},
    "a name with a NUL": {"id": "a", "\x00": 1},
    "a deep list": {"id": orjson.loads("[" * 500 + "]" * 500)},
    "many": {f"v{number}": number for number in range(5_000)},
    "names of Python": {"id": "a", "__class__": {"__init__": 1}, "self": 1},
}


def wrong_in(body: Any, text: str) -> bool:
    """Whether an answer tells of a fault of ours, or of its insides."""
    told = [error["extensions"]["code"] for error in body.get("errors", ())]
    return "internal_server_error" in told or any(
        word in text for word in ("Traceback", 'File "', "sqlalchemy", "asyncpg")
    )


@pytest.fixture
async def loose(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server whose limits are as loose as they can be set, so that less is refused before it is looked at."""
    limits = {
        name: max(one.le for one in Settings.model_fields[name].metadata if hasattr(one, "le")) for name in LIMITS
    }
    async with live_server(settings.model_copy(update={**limits, "rate_limits": "off"})) as live:
        yield live


async def test_documents_break_nothing_where_limits_are_loose(
    loose: LiveServer, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = await as_tenant(loose, (await licensed(loose)).tenant_id)
    wrong: list[Any] = []
    for name, text in DOCUMENTS.items():
        answer = await loose.http.post(PATH, headers=mine, json={"query": text})
        if answer.status_code >= 500 or wrong_in(answer.json(), answer.text):
            wrong.append((name, answer.status_code, answer.text[:300]))

    assert wrong == []
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_documents_and_variables_break_nothing_over_http(
    sanic_client: LiveServer, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    sent: list[tuple[str, dict[str, Any]]] = [(name, {"query": text}) for name, text in DOCUMENTS.items()]
    sent += [(f"variables: {name}", {"query": PROJECT, "variables": value}) for name, value in VARIABLES.items()]
    wrong: list[Any] = []
    for name, body in sent:
        content = json.dumps(body)
        query = {key: value if isinstance(value, str) else json.dumps(value) for key, value in body.items()}
        for accept in ({}, STREAM):
            headers = {**mine, **accept, "content-type": "application/json"}
            answers = [await sanic_client.http.post(PATH, headers=headers, content=content)]
            if len(content) < 6_000:
                answers.append(await sanic_client.http.get(PATH, headers=headers, params=query))
            for answer in answers:
                text = answer.text
                told = orjson.loads(text.split("data: ", 1)[-1].split("\n")[0])
                if answer.status_code >= 500 or wrong_in(told, text):
                    wrong.append((name, accept, answer.request.method, answer.status_code, text[:300]))

    assert wrong == []
    assert "Traceback" not in "".join(capfd.readouterr())
    await until(lambda: held(sanic_client) == (0, 0))


async def test_documents_and_variables_break_nothing_over_a_socket(
    sanic_client: LiveServer, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    payloads: dict[str, Any] = {name: {"query": text} for name, text in DOCUMENTS.items()}
    payloads |= {f"variables: {name}": {"query": PROJECT, "variables": value} for name, value in VARIABLES.items()}
    wrong: list[Any] = []
    waiting = list(payloads)
    while waiting:
        async with talk(sanic_client) as socket:
            await socket.begin(bearer(mine))
            while waiting and socket.connection.close_code is None:
                name = waiting.pop()
                await socket.connection.send(json.dumps({"type": "subscribe", "id": name, "payload": payloads[name]}))
                try:
                    message = await socket.heard()
                    while message["type"] == "next":
                        if wrong_in(message["payload"], str(message)):
                            wrong.append((name, message))
                        message = await socket.heard()
                    if message["type"] == "error" and wrong_in({"errors": message["payload"]}, str(message)):
                        wrong.append((name, message))
                except ConnectionClosed:
                    if socket.connection.close_code != 4400:
                        wrong.append((name, socket.connection.close_code, socket.connection.close_reason))

    assert wrong == []
    assert "Traceback" not in "".join(capfd.readouterr())
    await until(lambda: held(sanic_client) == (0, 0))


def broken(message: str, chance: random.Random) -> str:
    """A message from which something is gone, or in which something is twice or another."""
    place, end = sorted(chance.sample(range(len(message)), 2))
    middle = chance.choice(
        ["", message[place:end] * 2, "\x00", "\u202e", "}" * 50, "[" * 2000, '"', "\\", "1e999", "null"]
    )
    return message[:place] + middle + message[end:]


async def test_a_broken_message_closes_the_connection_or_is_told(
    sanic_client: LiveServer, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    chance = random.Random(SEED)
    payload = {"query": "{ projects { id } }", "variables": {"a": [1, "b", None]}, "operationName": None}
    message = json.dumps({"id": "1", "type": "subscribe", "payload": payload})
    codes: Counter[int | None] = Counter()
    socket: Talk | None = None
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MESSAGES):
            if socket is None or socket.connection.close_code is not None:
                socket = await stack.enter_async_context(talk(sanic_client))
                await socket.begin(bearer(mine))
            with contextlib.suppress(ConnectionClosed):
                await socket.connection.send(broken(message, chance))
                await socket.say("ping")
                while (await socket.heard())["type"] != "pong":
                    pass
            codes[socket.connection.close_code] += 1

    # What is a message all the same is answered, and its id may still be in use by the next one.
    assert codes.keys() <= {None, 4400, 4409}
    assert min(codes[None], codes[4400]) > 0
    assert "Traceback" not in "".join(capfd.readouterr())
    await until(lambda: held(sanic_client) == (0, 0))


FRAMES = [
    (b"\x81\x02{}", 1002),  # not masked, as a client's frames must be
    (b"\xf1\x80\x00\x00\x00\x00", 1002),  # bits that nothing was agreed on for
    (b"\x83\x80\x00\x00\x00\x00", 1002),  # a kind that is none
    (b"\x80\x80\x00\x00\x00\x00", 1002),  # goes on with what was not begun
    (b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126, 1002),  # a ping that is too long
    (b"\x88\x81\x00\x00\x00\x00\x00", 1002),  # a close with half of a code
    (b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1009),  # longer than can ever be sent
]


async def test_a_frame_that_is_none_closes_the_connection(
    sanic_client: LiveServer, capfd: pytest.CaptureFixture[str]
) -> None:
    codes = []
    for frame, _ in FRAMES:
        async with talk(sanic_client) as socket:
            socket.connection.transport.write(frame)
            codes.append(await socket.code())

    assert codes == [code for _, code in FRAMES]
    await until(lambda: held(sanic_client) == (0, 0))
    assert "Traceback" not in "".join(capfd.readouterr())
