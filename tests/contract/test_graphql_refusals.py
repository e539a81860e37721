"""Refusals in GraphQL, generated over all fields of the schema: who may not ask gets nothing, over whatever transport.

A field that is added is asked for too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import pytest
from graphql import parse, validate
from sqlalchemy import select, update
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import Licensed, activated, licensed
from support.generated_documents import Documents, Root, fields_of, roots
from support.graphql import PATH, Stored, post, stored_project, stored_run
from support.live import LiveServer
from support.rows import change, row_counts, rows
from support.sockets import held, talk

from app.access.permissions import Permission, Role
from app.resolvers.schema import schema
from sql.tables import activation_codes, api_tokens, devices, projects, tenant_sessions

STREAM = {"accept": "text/event-stream"}
# What stands in every text that the other tenant's things have.
MARK = "Theirs"
ALL = roots(schema())
READING = roots(schema(), "Query")
CHANGING = roots(schema(), "Mutation")
FOLLOWING = roots(schema(), "Subscription")

Headers = Mapping[str, str]
# What a refusal is told by: the status, or the code of a WebSocket's close, and the code of the error.
Refused = tuple[int | None, str | None]


def told(status: int, body: Any) -> Refused:
    """How an answer is refused; it has no data."""
    assert body.keys() <= {"errors", "extensions"}, body
    (error,) = body["errors"]
    return status, error["extensions"]["code"]


async def by_post(live: LiveServer, headers: Headers, query: str) -> Refused:
    """Over HTTP."""
    answer = await post(live, headers, query)
    return told(answer.status_code, answer.json())


async def by_get(live: LiveServer, headers: Headers, query: str) -> Refused:
    """Over HTTP, where the cookie of a page that is not ours is read too: it changes nothing."""
    answer = await live.http.get(PATH, headers=dict(headers), params={"query": query})
    return told(answer.status_code, answer.json())


async def streamed(live: LiveServer, headers: Headers, method: str, **sent: Any) -> Refused:
    """As server-sent events; a stream that begins is no refusal, and is not read to its end."""
    async with live.http.stream(method, PATH, headers={**headers, **STREAM}, **sent) as answer:
        if answer.status_code == 200:
            return 200, None
        return told(answer.status_code, orjson.loads(await answer.aread()))


async def by_streamed_post(live: LiveServer, headers: Headers, query: str) -> Refused:
    """As server-sent events."""
    return await streamed(live, headers, "POST", json={"query": query})


async def by_streamed_get(live: LiveServer, headers: Headers, query: str) -> Refused:
    """As server-sent events, as a browser's EventSource asks for them."""
    return await streamed(live, headers, "GET", params={"query": query})


async def by_socket(live: LiveServer, headers: Headers, query: str) -> Refused:
    """Over a WebSocket: the connection is closed, or an error is told for the operation."""
    async with talk(live, **{name: value for name, value in headers.items() if name in {"cookie", "origin"}}) as socket:
        shown = {name: value for name, value in headers.items() if name in {"authorization", "x-session-token"}}
        await socket.say("connection_init", payload=shown)
        await socket.subscribe(query)
        while socket.connection.close_code is None:
            try:
                message = await socket.heard()
            except Exception:  # noqa: BLE001 - it is closed, and says so by its code
                break
            if message["type"] == "error":
                return told(200, {"errors": message["payload"]})
            assert message["type"] == "connection_ack", message
        return await socket.code(), None


Transport = Callable[[LiveServer, Headers, str], Awaitable[Refused]]
TRANSPORTS: dict[str, Transport] = {
    "POST": by_post,
    "GET": by_get,
    "POST, streamed": by_streamed_post,
    "GET, streamed": by_streamed_get,
    "WebSocket": by_socket,
}


async def strangers(live: LiveServer, tenant: Licensed) -> dict[str, tuple[Headers, Refused]]:
    """Whoever may ask nothing, with how HTTP refuses them; operators have no permission while this is asked."""
    ended, expired = [await as_tenant(live, tenant.tenant_id) for _ in range(2)]
    assert (await live.http.post("/api/tenant/auth/logout", headers=ended)).status_code < 300
    token = live.runtime.keys.token_hash("tenant session", expired["x-session-token"])
    now = live.ctx.now()
    await change(live, update(tenant_sessions).where(tenant_sessions.c.token_hash == token).values(expires_at=now))
    revoked = await as_operator(live)
    await change(live, update(api_tokens).values(revoked_at=now))
    late = await as_operator(live)
    await change(live, update(api_tokens).where(api_tokens.c.revoked_at.is_(None)).values(expires_at=now))
    session = {"authorization": f"Bearer {expired['x-session-token']}"}
    return {
        "nobody": ({}, (401, "unauthenticated")),
        "made up": ({"x-session-token": "made-up"}, (401, "session_invalid")),
        "made-up API token": ({"authorization": "Bearer pat_made-up"}, (401, "api_token_invalid")),
        "signed out": (ended, (401, "session_invalid")),
        "expired session": (expired, (401, "session_expired")),
        "expired session as bearer": (session, (401, "session_expired")),
        "device": ((await activated(live, tenant)).headers, (401, "session_invalid")),
        "revoked API token": (revoked, (401, "api_token_invalid")),
        "expired API token": (late, (401, "api_token_invalid")),
        "program without permission": (await as_operator(live), (403, "permission_missing")),
        "operator without permission": (await operator_cookie(live), (403, "permission_missing")),
    }


def test_every_field_is_asked_for_by_a_document_that_is_valid() -> None:
    documents = Documents(schema(), {"project": "a", "task": "1"})

    invalid = {str(root): errors for root in ALL if (errors := validate(schema(), parse(documents.of(root))))}
    assert invalid == {}
    assert fields_of(schema()) - documents.asked == set()
    assert {str(root) for root in documents.named} >= {"Query.project", "Mutation.updateTask", *map(str, FOLLOWING)}


async def test_who_may_not_ask_gets_no_field_over_any_transport(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await licensed(sanic_client, max_uses=100)
    callers = await strangers(sanic_client, tenant)
    project_id = await stored_project(sanic_client, tenant)
    monkeypatch.setattr("app.access.permissions.Role.permissions", frozenset())
    documents = Documents(schema(), {"project": project_id, "task": "1"})
    before = await row_counts(sanic_client)

    wrong: list[Any] = []
    for number, (name, (headers, refused)) in enumerate(callers.items()):
        for root in ALL:
            sanic_client.http.cookies.clear()
            if (found := await by_post(sanic_client, headers, documents.of(root))) != refused:
                wrong.append((name, str(root), found))
        # Over the others one field each, which is another for every caller.
        for transport, ask in TRANSPORTS.items():
            sanic_client.http.cookies.clear()
            expected = refused
            if transport == "WebSocket":
                # A cookie is no credential there.
                is_known = refused[0] == 403 and "cookie" not in headers
                expected = (4403 if is_known else 4401, None)
            root = ALL[number % len(ALL)]
            if (found := await ask(sanic_client, headers, documents.of(root))) != expected:
                wrong.append((name, transport, str(root), found))

    assert wrong == []
    assert await row_counts(sanic_client) == before
    assert held(sanic_client) == (0, 0)


async def theirs(live: LiveServer) -> tuple[Licensed, dict[str, str]]:
    """A tenant all of whose things have the mark, and the ids of these."""
    tenant = await licensed(live, max_uses=100)
    project_id = await stored_project(live, tenant, f"{MARK} Shop", description=MARK)
    task_id, *_ = await stored_run(live, project_id, [Stored("coder", "running", 0, 1, error=MARK)])
    ((run_id,),) = await rows(live, select(projects.c.run_id).where(projects.c.project_id == project_id))
    ((code_id,),) = await rows(live, select(activation_codes.c.id))
    pair = await activated(live, tenant)
    await change(live, update(devices).values(label=MARK))
    await change(live, update(activation_codes).values(label=MARK))
    return tenant, {
        "project": project_id,
        "task": str(task_id),
        "run": str(run_id),
        "device": str(pair.device_id),
        "activationcode": str(code_id),
        "tenant": str(tenant.tenant_id),
        "slug": tenant.slug,
        "tenantslug": tenant.slug,
    }


def has_anything(value: Any) -> bool:
    """Whether data tells more than that there is nothing, and of what types it would be."""
    if isinstance(value, dict):
        return any(has_anything(one) for name, one in value.items() if name not in {"__typename", "pageInfo"})
    if isinstance(value, list):
        return any(map(has_anything, value))
    return value not in {None, 0}


def codes_in(body: Any) -> set[str]:
    """The codes of all errors, and of all problems that stand in the data."""
    found, waiting = {error["extensions"]["code"] for error in body.get("errors", ())}, [body.get("data")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            # The generated documents give the fields of a union's members names of their own.
            found |= {str(value) for name, value in one.items() if name.rpartition("_")[2] == "code"}
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


async def test_a_tenant_gets_nothing_of_another_by_any_field(sanic_client: LiveServer) -> None:
    tenant, ids = await theirs(sanic_client)
    owner = await as_tenant(sanic_client, tenant.tenant_id)
    mine = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    documents = Documents(schema(), ids)
    asked = {root: documents.of(root) for root in ALL}
    before = await row_counts(sanic_client)

    shown: list[Any] = []
    for root in READING:
        found = (await post(sanic_client, mine, asked[root])).json()["data"]
        if MARK in str(found) or (root in documents.named and has_anything(found)):
            shown.append((str(root), found))
    for root in CHANGING:
        # What names nothing makes something of one's own.
        if root in documents.named:
            body = (await post(sanic_client, mine, asked[root])).json()
            # What only operators may do names them.
            is_refused = any(code.endswith("_not_found") or code == "operator_missing" for code in codes_in(body))
            if MARK in str(body["data"]) or not is_refused:
                shown.append((str(root), body))
    for root in FOLLOWING:
        if root in documents.named:
            status, code = await by_streamed_post(sanic_client, mine, asked[root])
            if status != 404 or not str(code).endswith("_not_found"):
                shown.append((str(root), status, code))

    assert shown == []
    assert await row_counts(sanic_client) == before
    # Its owner is shown it.
    answers = {root: (await post(sanic_client, owner, asked[root])).json() for root in [*READING, *CHANGING]}
    seen = {root.name for root, body in answers.items() if MARK in str(body["data"])}
    assert seen >= {"activationCode", "device", "devices", "project", "projects", "run", "runs", "tasks", "updateTask"}


async def test_another_tenants_project_is_not_found_over_any_transport(sanic_client: LiveServer) -> None:
    _, ids = await theirs(sanic_client)
    mine = await as_tenant(sanic_client, (await licensed(sanic_client)).tenant_id)
    document = Documents(schema(), ids).of(Root("Subscription", "projectUpdates"))

    for transport in ("POST, streamed", "GET, streamed", "WebSocket"):
        status, code = await TRANSPORTS[transport](sanic_client, mine, document)
        assert (status, code) == (200 if transport == "WebSocket" else 404, "project_not_found"), transport
    assert held(sanic_client) == (0, 0)


async def test_who_may_only_read_changes_nothing_by_any_field(sanic_client: LiveServer) -> None:
    _, ids = await theirs(sanic_client)
    operator = await as_operator(sanic_client, Role.READ_ONLY)
    documents = Documents(schema(), ids)
    before = await row_counts(sanic_client)

    found = {root.name: codes_in((await post(sanic_client, operator, documents.of(root))).json()) for root in CHANGING}

    # A change of a tenant's own things needs its session.
    assert {name: codes for name, codes in found.items() if not codes & {"permission_missing", "session_missing"}} == {}
    assert found["updateTask"] == {"permission_missing"}
    assert await row_counts(sanic_client) == before


async def test_what_a_field_refuses_for_want_of_a_permission_it_answers_with_it(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ids = await theirs(sanic_client)
    operator = await as_operator(sanic_client)
    documents = Documents(schema(), ids)
    needed: dict[str, set[str]] = {}
    for root in READING:
        document, has = documents.of(root), {Permission.RUNS_READ}
        # A field may stand above others that need more.
        for _ in Permission:
            monkeypatch.setattr("app.access.permissions.Role.permissions", frozenset(has))
            errors = [
                error["extensions"] for error in (await post(sanic_client, operator, document)).json().get("errors", ())
            ]
            if not errors:
                break
            assert {error["code"] for error in errors} == {"permission_missing"}, (root, errors)
            has |= {Permission(error["permission"]) for error in errors}
        else:
            pytest.fail(f"{root} is answered to nobody")
        needed[root.name] = has - {Permission.RUNS_READ}

    assert {name: more for name, more in needed.items() if any(not one.endswith(":read") for one in more)} == {}
    assert (needed["systemMetrics"], needed["dashboardStats"]) == (set(), set())
    assert needed["device"] >= {Permission.DEVICES_READ}


async def test_a_change_without_permission_is_refused_over_a_socket_and_streamed_too(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ids = await theirs(sanic_client)
    operator = await as_operator(sanic_client, Role.READ_ONLY)
    document = Documents(schema(), ids).of(Root("Mutation", "updateTask"))
    answer = await post(sanic_client, {**operator, **STREAM}, document)
    async with talk(sanic_client, **operator) as socket:
        await socket.begin()
        await socket.subscribe(document)
        message = await socket.heard()

    assert '"permission_missing"' in answer.text.split("\n\n")[0]
    assert message["payload"]["errors"][0]["extensions"]["code"] == "permission_missing"
    assert message["payload"]["data"] is None
