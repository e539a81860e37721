"""Isolation: every operation of every part refuses whoever its rule does not name, and gives nothing away in doing so.

Generated from the stated rules, so an operation that is added is asked too.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from httpx2 import Response
from support.admin import as_tenant
from support.builders import activated, licensed
from support.contract import CALLERS, GUARDED, OPERATIONS, READING, accepts, ask, headers_of, label, permissions_of
from support.live import LiveServer
from support.projects import created
from support.rows import row_counts

from app.access.permissions import Permission
from app.contract.api_document import Operation

IDENTITY_CODES = {"token_missing", "session_missing", "operator_missing"}
# Not data: a refusal, and nothing beside what a problem document says.
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "errorCode", "message", "requestId", "remedy", "permission"}
# What the caller has named.
NAMED_MEMBERS = {"project_id"}


def refused(answer: Response, status: int) -> bool:
    """Whether an answer is this refusal and no data; a HEAD's answer has no body to look at."""
    if answer.status_code != status:
        return False
    if answer.request.method == "HEAD":
        return answer.content == b""
    return (
        answer.headers["content-type"] == "application/problem+json"
        and answer.json().keys() <= PROBLEM_MEMBERS | NAMED_MEMBERS
        and answer.headers["cache-control"] == "no-store"
    )


def test_there_is_something_to_ask() -> None:
    assert len(OPERATIONS) >= 10
    assert len(GUARDED) >= 4


async def test_nobody_gets_anything_without_saying_who_asks(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    open_to_all: list[str] = []
    for operation in GUARDED:
        # What a GET shows only once answers no HEAD.
        is_reading = operation.method in READING and not operation.creates
        for method in {operation.method, "HEAD"} if is_reading else {operation.method}:
            answer = await ask(sanic_client, operation, {}, tenant.slug, method)
            if not refused(answer, 401) or (method != "HEAD" and answer.json()["errorCode"] not in IDENTITY_CODES):
                open_to_all.append(f"{method} {operation.path}: {answer.status_code} {answer.text[:200]}")

    assert open_to_all == []


async def test_who_may_not_is_refused_before_anything_is_read(sanic_client: LiveServer) -> None:
    """Neither a body nor an id nor a query that is wrong is told to who has not said who asks, or may not."""
    reader = await headers_of(sanic_client, "read_only token")
    told = []
    for operation in GUARDED:
        path = re.sub(r"\{\w+\}", "9" * 400, operation.path)
        asking = [({}, 401)]
        if operation.caller.permission is not None and not accepts(operation, "read_only token"):
            asking.append((reader, 403))
        for headers, status in asking:
            sent = {**headers, "content-type": "application/json", "idempotency-key": "a b" * 100}
            answer = await sanic_client.http.request(operation.method, f"{path}?page=x", headers=sent, content=b"{")
            if not refused(answer, status):
                told.append(f"{label(operation)}: {answer.status_code} {answer.text[:200]}")

    assert told == []


@pytest.mark.parametrize(
    "shown",
    [
        {"authorization": "Bearer pat_made-up"},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"authorization": "Basic cm9vdDpyb290"},
        {"cookie": "session=made.up", "origin": "http://localhost:3000"},
        {"x-session-token": "made-up"},
    ],
    ids=["API token", "device token", "basic", "cookie", "session"],
)
async def test_what_is_made_up_opens_nothing(sanic_client: LiveServer, shown: dict[str, str]) -> None:
    tenant = await licensed(sanic_client)
    before = await row_counts(sanic_client)

    opened = [
        f"{label(operation)}: {answer.status_code} {answer.text[:200]}"
        for operation in GUARDED
        if not refused(answer := await ask(sanic_client, operation, shown, tenant.slug), 401)
        # Ending a session that is not there is no secret.
        and not (answer.status_code == 204 and operation.path.endswith("/logout"))
    ]

    assert opened == []
    assert await row_counts(sanic_client) == before


def expected_refusal(operation: Operation, caller: str) -> int:
    """403 for an operator where operators may enter but not with these permissions, else 401."""
    is_operator = caller not in {"device", "tenant session"}
    return 403 if is_operator and operation.caller.permission is not None else 401


async def test_every_kind_of_caller_is_refused_where_the_rule_does_not_name_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=100)
    people = {name: await headers_of(sanic_client, name, tenant) for name in CALLERS}
    before = await row_counts(sanic_client)

    let_in, asked = [], Counter[str]()
    for name, headers in people.items():
        for operation in GUARDED:
            if accepts(operation, name):
                continue
            asked[name] += 1
            answer = await ask(sanic_client, operation, headers, tenant.slug)
            if not refused(answer, expected_refusal(operation, name)):
                let_in.append(f"{name}: {label(operation)}: {answer.status_code} {answer.text[:200]}")

    assert let_in == []
    assert asked.keys() == people.keys()
    assert await row_counts(sanic_client) == before


async def test_every_kind_of_caller_is_let_in_where_the_rule_names_it(sanic_client: LiveServer) -> None:
    """Each is a new one, because what one asks may end its own session."""
    shut_out, asked = [], Counter[str]()
    for name in CALLERS:
        for operation in GUARDED:
            if not accepts(operation, name):
                continue
            asked[name] += 1
            answer = await ask(sanic_client, operation, await headers_of(sanic_client, name))
            code = answer.json().get("errorCode") if "problem" in answer.headers.get("content-type", "") else None
            if (
                answer.status_code == 401
                or answer.status_code >= 500
                or code in {"permission_missing", "origin_refused"}
            ):
                shut_out.append(f"{name}: {label(operation)}: {answer.status_code} {answer.text[:200]}")

    assert shut_out == []
    assert asked.keys() == set(CALLERS)


async def test_a_cookie_changes_nothing_from_a_page_that_is_not_allowed(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    cookie = await headers_of(sanic_client, "owner cookie")
    before = await row_counts(sanic_client)

    changed, asked = [], 0
    for origin in ({}, {"origin": "https://evil.example"}, {"origin": "null"}):
        headers = {"cookie": cookie["cookie"], **origin}
        for operation in GUARDED:
            if operation.caller.permission is None or operation.method in READING:
                continue
            asked += 1
            answer = await ask(sanic_client, operation, headers, tenant.slug)
            if not refused(answer, 403) or answer.json()["errorCode"] != "origin_refused":
                changed.append(f"{origin}: {label(operation)}: {answer.status_code} {answer.text[:200]}")

    assert changed == []
    assert asked >= 3 * 10
    assert await row_counts(sanic_client) == before


async def test_a_tenant_gets_nothing_of_another_by_its_slug(sanic_client: LiveServer) -> None:
    mine, other = await licensed(sanic_client, max_uses=5), await licensed(sanic_client, max_uses=5)
    session = await as_tenant(sanic_client, mine.tenant_id)
    device = (await activated(sanic_client, mine)).headers
    before = await row_counts(sanic_client)

    told, asked = [], set()
    for name, headers in (("tenant session", session), ("device", device)):
        for operation in GUARDED:
            if not accepts(operation, name) or "tenant_slug" not in operation.path_parameters:
                continue
            asked.add((name, label(operation)))
            answer = await ask(sanic_client, operation, headers, other.slug)
            if not (refused(answer, 403) or refused(answer, 404)):
                told.append(f"{name}: {label(operation)}: {answer.status_code} {answer.text[:200]}")

    assert told == []
    ways = ("GET /usage/{tenant_slug}", "POST /usage/{tenant_slug}/events")
    assert asked >= {(name, way) for name in ("tenant session", "device") for way in ways}
    assert await row_counts(sanic_client) == before


async def test_a_tenant_gets_nothing_of_another_by_the_id_of_a_project(sanic_client: LiveServer) -> None:
    mine, other = await licensed(sanic_client), await licensed(sanic_client)
    session = await as_tenant(sanic_client, mine.tenant_id)
    project_id = (await created(sanic_client, other))["projectId"]
    before = await row_counts(sanic_client)

    told, asked = [], set()
    for operation in GUARDED:
        if not accepts(operation, "tenant session") or "project_id" not in operation.path_parameters:
            continue
        asked.add(label(operation))
        named = replace(operation, path=operation.path.replace("{project_id}", project_id))
        answer = await ask(sanic_client, named, session)
        if not refused(answer, 404) or answer.json()["errorCode"] != "project_not_found":
            told.append(f"{label(operation)}: {answer.status_code} {answer.text[:200]}")

    assert told == []
    ways = {
        "": ("GET", "PUT", "DELETE"),
        "/assign-activation-code": ("POST",),
        "/completion-modal-preference": ("PATCH",),
    }
    place = "/api/tenant/projects/{project_id}"
    assert asked >= {f"{method} {place}{way}" for way, methods in ways.items() for method in methods}
    assert await row_counts(sanic_client) == before


def test_reading_is_all_that_who_may_only_read_may() -> None:
    writing = {
        label(operation): operation.caller.permission
        for operation in GUARDED
        if operation.method not in READING and operation.caller.permission in permissions_of("read_only token")
    }

    assert writing == {}
    assert len(permissions_of("read_only token")) > 3
    assert all(permission.endswith(":read") for permission in permissions_of("read_only token"))
    assert permissions_of("owner token") == frozenset(Permission)
