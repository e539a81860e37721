"""Bodies: read once it is known who asks, as large as the operation takes, within what a worker holds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
import pytest
from support.builders import activated, licensed, report, run_event
from support.contract import OPERATIONS, label
from support.journey import until
from support.live import LiveServer, live_server
from support.raw import line_to, spoken, statuses

from app.contract.api_document import LARGE_BODY, SMALL_BODY, Operation
from app.services.usage.metering import MAX_EVENTS
from app.settings import Settings
from blueprints.usage import METADATA_BYTES

MIB = 1_048_576
CLOSED = b"connection: close\r\n"
# Bytes of a character as programs write it that use ASCII alone.
ESCAPED = 6


def held(live: LiveServer) -> int:
    """Bytes of bodies that the server holds."""
    return int(live.app.ctx.wire.bodies.held)


def announced(line: str, length: int, *headers: str) -> bytes:
    """The head of a request whose body does not come."""
    more = "".join(f"{header}\r\n" for header in headers)
    return f"{line} HTTP/1.1\r\nhost: p\r\ncontent-length: {length}\r\n{more}\r\n".encode()


async def test_who_may_not_call_is_told_before_a_byte_of_the_body(sanic_client: LiveServer) -> None:
    refused = {
        "POST /usage/acme/events": 401,
        "POST /admin/api/tenants": 401,
        "PUT /api/tenant/profile": 401,
        "POST /graphql": 401,
        "POST /admin/codes/generate": 401,
        "GET /healthz": 400,
        "GET /docs": 400,
        "GET /auth/link/x": 400,
        "POST /nothing": 404,
        "DELETE /healthz": 405,
        "POST /authz/activate": 413,
    }

    said = {
        line: await spoken(sanic_client.base_url, announced(line, 15 * MIB, "expect: 100-continue")) for line in refused
    }

    assert {line: statuses(one) for line, one in said.items()} == {line: [status] for line, status in refused.items()}
    assert all(CLOSED in one for one in said.values())


async def test_sixty_bodies_that_nobody_takes_are_held_by_nobody(sanic_client: LiveServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        said = []
        for _ in range(60):
            reader, writer = await stack.enter_async_context(line_to(sanic_client.base_url))
            writer.write(announced("GET /healthz", 15 * MIB))
            said.append(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10))
            writer.write(b"x" * MIB)
            await writer.drain()
        most = max(len(connection.recv_buffer) for connection in sanic_client.app.ctx.wire.connections._all)

    assert {tuple(statuses(one)) for one in said} == {(400,)}
    assert most < MIB
    assert held(sanic_client) == 0


async def test_an_operation_takes_as_much_as_it_says(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    large = [run_event(f"e{number}", metadata={"text": "x" * 4000}) for number in range(MAX_EVENTS)]

    answers = [
        await report(sanic_client, device, *large),
        await sanic_client.http.post("/licenses/heartbeat", headers=device.headers, content=b" " * (SMALL_BODY + 1)),
        await sanic_client.http.post("/licenses/heartbeat", headers=device.headers, content=b" " * SMALL_BODY),
    ]

    assert [answer.status_code for answer in answers] == [200, 413, 400]
    assert len(answers[0].request.content) > 4_000_000
    assert answers[1].json()["limit"] == SMALL_BODY
    assert held(sanic_client) == 0


async def test_many_values_are_refused_though_they_are_short(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    lists = b'{"events": [' + b"[]," * 70_000 + b"1]}"
    texts = b'{"tenant_slug": "a", "activation_code": "' + b'\\",[{' * 5000 + b'", "hw_fingerprint": "h"}'
    headers = {**device.headers, "content-type": "application/json"}

    answers = [
        await sanic_client.http.post(f"/usage/{device.tenant.slug}/events", headers=headers, content=lists),
        await sanic_client.http.post("/authz/activate", headers=headers, content=b"[" + b"[]," * 2000 + b"1]"),
        await sanic_client.http.post("/authz/activate", headers=headers, content=b'["' + b'","' * 9000 + b'"]'),
        # Brackets in a text are none.
        await sanic_client.http.post("/authz/activate", headers=headers, content=texts),
    ]

    told = [(answer.status_code, answer.json()["errorCode"]) for answer in answers]
    assert told == [(413, "payload_too_large")] * 3 + [(422, "validation_error")]
    assert answers[1].json()["limit"] == 1024


async def test_a_worker_holds_no_more_than_it_may_and_an_address_a_quarter(settings: Settings) -> None:
    small = settings.model_copy(update={"request_bodies_max_bytes": 8 * MIB, "request_max_bytes": 2 * MIB})
    async with live_server(small) as live, contextlib.AsyncExitStack() as stack:
        device = await activated(live)
        bearer = f"authorization: {device.headers['authorization']}"
        lines = []
        for _ in range(2):
            reader, writer = await stack.enter_async_context(line_to(live.base_url))
            writer.write(announced(f"POST /usage/{device.tenant.slug}/events", MIB, bearer) + b" " * (MIB - 1))
            await writer.drain()
            lines.append((reader, writer))
        await until(lambda: held(live) == 2 * MIB - 2)

        refused = await report(live, device, *[run_event(f"e{n}", metadata={"text": "x" * 500}) for n in range(999)])
        arrived = await live.http.get("/licenses/policy", headers=device.headers)
        lines[0][1].write(b"1")
        answered = await asyncio.wait_for(lines[0][0].readuntil(b"\r\n\r\n"), 10)
        # What was answered is held no longer, though its connection stays.
        await until(lambda: held(live) == MIB - 1)

    assert (refused.status_code, refused.json()["errorCode"], refused.headers["retry-after"]) == (
        503,
        "overloaded",
        "1",
    )
    assert arrived.status_code == 200
    assert statuses(answered) == [422]


def largest(schema: dict[str, Any], definitions: dict[str, Any]) -> int:
    """Bytes of the longest JSON that a schema allows."""
    if "$ref" in schema:
        return largest(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if alternatives := schema.get("anyOf", schema.get("oneOf")):
        return max(largest(one, definitions) for one in alternatives)
    if schema.get("type") == "string":
        return ESCAPED * int(schema.get("maxLength", 64)) + 2
    if schema.get("type") == "array":
        return int(schema["maxItems"]) * (largest(schema["items"], definitions) + 1) + 2
    if "properties" in schema:
        members = schema["properties"].items()
        return 2 + sum(len(name) + 4 + largest(member, definitions) for name, member in members)
    # What a usage event may hold besides is bounded by itself.
    return METADATA_BYTES if schema.get("type") == "object" else 24


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.json_body], ids=label)
def test_what_an_operation_allows_in_its_fields_it_allows_as_a_body(operation: Operation) -> None:
    assert operation.json_body is not None
    schema = operation.json_body.model_json_schema()
    fits = largest(schema, schema.get("$defs", {})) <= operation.body_limit(4 * MIB)

    # A thousand usage events with all that each may hold would be eight megabytes: who sends as much sends fewer.
    assert fits == (label(operation) != "POST /usage/{tenant_slug}/events")
    assert operation.max_body in {SMALL_BODY, LARGE_BODY, None}


async def test_the_document_says_how_much(sanic_client: LiveServer) -> None:
    paths = (await sanic_client.http.get("/openapi.json")).json()["paths"]

    told = [
        paths[path]["post"]["requestBody"]["description"] for path in ("/authz/activate", "/usage/{tenant_slug}/events")
    ]
    assert told == ["At most 65536 bytes.", "At most request_max_bytes bytes."]
    assert "`body_not_expected`" in paths["/healthz"]["get"]["responses"]["400"]["description"]


async def test_a_document_of_graphql_is_bounded_in_size_values_and_depth(
    sanic_client: LiveServer, mine: dict[str, str]
) -> None:
    headers = {**mine, "content-type": "application/json"}
    deep: list[Any] = []
    for _ in range(150):
        deep = [deep]
    contents = [
        b" " * (LARGE_BODY + 1),
        b'{"query": "{ __typename }", "variables": {"a": [' + b"[]," * 20_000 + b"1]}}",
        orjson.dumps({"query": "{ __typename }", "variables": {"a": deep}}),
        orjson.dumps({"query": "{ __typename }", "variables": {"a": [[[1]]]}}),
    ]

    answers = [await sanic_client.http.post("/graphql", headers=headers, content=content) for content in contents]

    assert [answer.status_code for answer in answers] == [413, 413, 422, 200]
    assert (await licensed(sanic_client)).slug
