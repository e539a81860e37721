"""GraphQL over HTTP: who may ask, how a request is read, how it is limited, and how refusals are told."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest
from graphql import get_introspection_query
from httpx2 import Response
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import Licensed, activated, licensed
from support.clocks import MovableClock
from support.databases import settings_for
from support.graphql import PATH, data, post, refusal
from support.live import LiveServer, live_server
from support.refusals import Findings
from support.statements import counted_statements

from app.resolvers import projects
from app.settings import Settings

ASK = "{ projects { id } }"
MODERN = "application/graphql-response+json"


def code(answer: Response) -> str:
    """The code of the only error; the answer has no data."""
    told = answer.json()
    assert told.keys() <= {"errors", "extensions"}, told
    (error,) = told["errors"]
    assert error["message"]
    return str(error["extensions"]["code"])


def refused(answer: Response) -> tuple[int, list[str], bool]:
    """The status, the code of each error that says something, and whether there is data beside them."""
    told = answer.json()
    codes = [str(error["extensions"]["code"]) for error in told.get("errors", ()) if error["message"]]
    return answer.status_code, codes, not told.keys() <= {"errors", "extensions"}


async def test_a_session_is_shown_by_its_header_or_as_bearer(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    bearer = {"authorization": f"Bearer {mine['x-session-token']}"}

    for headers in (mine, bearer, await as_operator(sanic_client), await operator_cookie(sanic_client)):
        answer = await post(sanic_client, headers, ASK)
        assert (answer.status_code, answer.json()["data"]) == (200, {"projects": []})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"


async def test_nobody_else_is_answered(sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str]) -> None:
    device = await activated(sanic_client, tenant)
    foreign = {"cookie": (await operator_cookie(sanic_client))["cookie"], "origin": "https://evil.example"}
    own = sanic_client.runtime.settings.public_url
    callers: list[tuple[dict[str, str], int, str]] = [
        ({}, 401, "unauthenticated"),
        ({"x-session-token": "ended"}, 401, "session_invalid"),
        ({"authorization": "Bearer ended"}, 401, "session_invalid"),
        ({"authorization": "Basic ended"}, 401, "token_missing"),
        ({"authorization": "Bearer pat_ended"}, 401, "api_token_invalid"),
        (device.headers, 401, "session_invalid"),
        ({"cookie": "session=forged", "origin": own}, 401, "session_invalid"),
        (foreign, 403, "origin_refused"),
    ]
    for headers, status, told in callers:
        with counted_statements(sanic_client.runtime.db) as seen:
            answers = [
                # Whatever is sent: who asks is decided first.
                await sanic_client.http.post(PATH, headers=headers, content=b"{"),
                *([] if status == 403 else [await sanic_client.http.get(PATH, headers=headers)]),
            ]
        for answer in answers:
            sanic_client.http.cookies.clear()
            assert (answer.status_code, code(answer)) == (status, told)
            assert ("www-authenticate" in answer.headers) == (status == 401)
        assert len(seen) <= 2 * len(answers)


UNREADABLE = [
    (b'{"query": "{ projects { id } }"}', "text/plain", 415, "unsupported_media_type"),
    (b"query=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    (b"{", "application/json", 400, "malformed_body"),
    (b"\xff", "application/json", 400, "malformed_body"),
    (b"[]", "application/json", 422, "validation_error"),
    (b"{}", "application/json", 422, "validation_error"),
    (b'{"query": 1}', "application/json", 422, "validation_error"),
    (b'{"query": "{ projects { id } }", "variables": []}', "application/json", 422, "validation_error"),
    (b'{"query": "{ a }", "variables": {"a": ["\\u0000"]}}', "application/json", 422, "validation_error"),
    (b'{"query": "{ a }", "extensions": {"persistedQuery": 1}}', "application/json", 422, "validation_error"),
    (b'{"query": "{ projects "}', "application/json", 200, "graphql_invalid"),
    (b'{"query": "{ projects { secret } }"}', "application/json", 200, "graphql_invalid"),
    (b'{"query": "{ project(id: \\"\\\\u0000\\") { id } }"}', "application/json", 200, "graphql_invalid"),
    (
        b'{"query": "query A { agents { id } } query B { agents { id } }"}',
        "application/json",
        200,
        "graphql_invalid",
    ),
    (b'{"query": "{ agents { id } }", "operationName": "B"}', "application/json", 200, "graphql_invalid"),
]


async def test_what_cannot_be_read_is_refused(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    findings = Findings()
    for content, media_type, status, told in UNREADABLE:
        headers = {**mine, "content-type": media_type}
        answer = await sanic_client.http.post(PATH, headers=headers, content=content)
        modern = await sanic_client.http.post(PATH, headers={**headers, "accept": MODERN}, content=content)
        found = refused(answer), refused(modern), modern.headers["content-type"]
        expected = (status, [told], False), (400 if status == 200 else status, [told], False), MODERN
        findings.add(f"{content!r} as {media_type}", found, expected)

    assert findings.found == findings.expected


async def test_variables_are_looked_at_when_the_document_runs(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    answer = (await post(sanic_client, mine, "query($a: Int!) { tasks(limit: $a) { id } }")).json()

    assert (answer["data"], answer["errors"][0]["extensions"]["code"]) == (None, "graphql_invalid")


async def test_get_runs_queries_only(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    async def get(**query: str) -> Response:
        return await sanic_client.http.get(PATH, headers=mine, params=query)

    found = await get(query="query($n: Int!) { projects(limit: $n) { id } }", variables='{"n": 1}')
    assert (found.status_code, found.json()["data"]) == (200, {"projects": []})
    named = await get(query="query A { agents { id } } query B { tasks { id } }", operationName="B")
    assert named.json()["data"] == {"tasks": []}
    changed = await get(query='mutation { createProject(input: {name: "a", objective: "b"}) { id } }')
    assert (changed.status_code, code(changed)) == (405, "graphql_get_reads_only")
    assert code(await get(query="{ agents { id } }", variables="{")) == "malformed_body"
    assert code(await get()) == "validation_error"
    assert (await data(sanic_client, mine, ASK))["projects"] == []


async def test_a_page_of_a_known_origin_may_ask(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    origin = sanic_client.runtime.settings.allowed_origins[0]
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type"}

    before = await sanic_client.http.request("OPTIONS", PATH, headers={"origin": origin, **asked})
    answer = await post(sanic_client, {**mine, "origin": origin}, ASK)
    foreign = await sanic_client.http.request("OPTIONS", PATH, headers={"origin": "https://evil.example", **asked})

    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, origin)
    assert {"authorization", "content-type"} <= set(before.headers["access-control-allow-headers"].split(", "))
    assert answer.headers["access-control-allow-origin"] == origin
    assert foreign.status_code == 403


def chain(levels: int) -> str:
    """A document so many levels deep that asks for little."""
    return (
        "{ tasks(limit: 1) "
        + "{ project { tasks(limit: 1) " * ((levels - 2) // 2)
        + "{ id }"
        + "} }" * ((levels - 2) // 2)
        + "}"
    )


DEEP_FRAGMENTS = """{ ...a } fragment a on Query { tasks(limit: 1) { ...b } } fragment b on Task { project { ...c } }
  fragment c on Project { tasks(limit: 1) { project { tasks(limit: 1) { project { tasks(limit: 1) { project
  { tasks(limit: 1) { project { id } } } } } } } } }"""
LARGE = {
    "twelve levels": (chain(12), "graphql_too_large"),
    "levels in fragments": (DEEP_FRAGMENTS, "graphql_too_large"),
    "51 aliases": (
        "{ " + " ".join(f'a{n}: project(id: "x") {{ id }}' for n in range(51)) + " }",
        "graphql_too_large",
    ),
    "a list six times": ("{ " + "projects { id } " * 6 + "}", "graphql_too_large"),
    "agents 300 times": ("{ " + "agents { id } " * 300 + "}", "graphql_too_large"),
    "200 times 200": ("{ projects(limit: 200) { tasks(limit: 200) { id } } }", "graphql_too_costly"),
    "50 times 100": ("{ projects(limit: 50) { tasks(limit: 100) { id } } }", "graphql_too_costly"),
    "200 by default": (
        "query($n: Int! = 200) { projects(limit: $n) { tasks(limit: 200) { id } } }",
        "graphql_too_costly",
    ),
}


async def test_what_asks_for_too_much_reaches_no_table(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    await post(sanic_client, mine, ASK)
    findings = Findings()
    for name, (document, told) in LARGE.items():
        with counted_statements(sanic_client.runtime.db) as seen:
            answer = await post(sanic_client, mine, document)
        # The only statement asks who asks.
        findings.add(name, (refused(answer)[1:], len(seen)), (([told], False), 1))

    assert findings.found == findings.expected


async def test_what_asks_for_just_little_enough_is_answered(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    for document in (chain(10), "{ projects(limit: 50) { tasks(limit: 98) { id } } }"):
        (found,) = (await data(sanic_client, mine, document)).values()
        assert found == [], document


async def test_what_a_document_costs_is_told(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    document = """query($n: Int!, $few: Int = 3) { projects(limit: $n) { agents { id } tasks(limit: $few) { id } }
      all: projects { id } dashboardStats { recentActivities { id } } }"""

    cost = (await post(sanic_client, mine, document.replace("$few: Int", "$few: Int!"), n=10)).json()["extensions"][
        "cost"
    ]
    again = (await post(sanic_client, mine, document.replace("$few: Int", "$few: Int!"), n=500, few=0)).json()

    # Ten projects with twelve agents and three tasks each, twenty projects, the figures and five activities.
    settings = sanic_client.runtime.settings
    assert cost["requested"] == 10 * (1 + 12 + 3) + 20 + 100 + 1 + 5
    assert (cost["limit"], cost["remaining"]) == (
        settings.graphql_max_cost,
        settings.graphql_cost_per_minute - cost["requested"],
    )
    assert again["extensions"]["cost"]["requested"] == 200 * (1 + 12 + 0) + 20 + 100 + 1 + 5


async def test_a_caller_has_a_budget_for_each_minute(database: str, tmp_path: Any) -> None:
    settings = settings_for(
        database, tmp_path, graphql_max_cost=100, graphql_cost_per_minute=100, refusal_hold_seconds=0
    )
    async with live_server(settings) as live:
        one, other = [await as_tenant(live, (await licensed(live)).tenant_id) for _ in range(2)]
        answers = [await post(live, one, "{ projects(limit: 60) { id } }") for _ in range(2)]
        small = await post(live, one, "{ projects(limit: 40) { id } }")
        with_other = await post(live, other, "{ projects(limit: 60) { id } }")

    assert [answer.status_code for answer in answers] == [200, 429]
    assert code(answers[1]) == "rate_limited"
    assert 0 < int(answers[1].headers["retry-after"]) <= 60
    assert answers[1].json()["extensions"]["cost"] == {"requested": 60, "limit": settings.graphql_max_cost}
    # What was refused was not counted.
    assert small.json()["extensions"]["cost"]["remaining"] == 0
    assert with_other.status_code == 200


async def test_a_document_may_be_asked_for_by_its_hash(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    # Unlike that of any other test of this process.
    document = f"query Q{uuid.uuid4().hex} {{ projects {{ name }} }}"
    by_hash = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(document.encode()).hexdigest()}}

    async def ask(**body: Any) -> Response:
        return await sanic_client.http.post(PATH, headers=mine, json=body)

    unknown = await ask(extensions=by_hash)
    assert (code(unknown), unknown.json()["errors"][0]["message"]) == (
        "persisted_query_not_found",
        "PersistedQueryNotFound",
    )
    assert code(await ask(query="{ agents { id } }", extensions=by_hash)) == "persisted_query_wrong"
    assert code(await ask(extensions=by_hash)) == "persisted_query_not_found"
    for body in ({"query": document, "extensions": by_hash}, {"extensions": by_hash}):
        assert (await ask(**body)).json()["data"] == {"projects": []}


async def test_an_error_of_ours_tells_nothing_of_its_insides(
    sanic_client: LiveServer, mine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*arguments: Any, **more: Any) -> Any:
        raise RuntimeError("SELECT secret FROM /etc")

    monkeypatch.setattr(projects, "list_projects", broken)

    answer = await post(sanic_client, mine, "{ projects { id } agents { id } }")

    (error,) = answer.json()["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["projects"], "internal_server_error")
    assert error["extensions"]["requestId"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "RuntimeError" not in answer.text


async def test_the_schema_is_shown_in_development(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    assert "__schema" in await data(sanic_client, mine, get_introspection_query())


async def test_elsewhere_the_schema_is_shown_to_operators(settings: Settings) -> None:
    async with live_server(settings.model_copy(update={"environment": "production"})) as live:
        tenant = await as_tenant(live, (await licensed(live)).tenant_id)
        for question in ("{ __schema { types { name } } }", '{ __type(name: "Task") { name } }'):
            errors = (await post(live, tenant, question)).json()["errors"]
            assert {error["extensions"]["code"] for error in errors} == {"graphql_invalid"}
            assert "introspection" in errors[0]["message"]
        assert (await data(live, tenant, "{ __typename }")) == {"__typename": "Query"}
        assert "__schema" in await data(live, await as_operator(live), get_introspection_query())
        # Names that nearly fit are no answer to guesses.
        guess = await refusal(live, tenant, "{ projets { id } }")
        assert "projects" not in guess["message"]


async def test_negative_pages_are_refused(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    for argument in ("limit", "offset"):
        error = await refusal(sanic_client, mine, f"{{ tasks({argument}: -1) {{ id }} }}")
        assert (error["extensions"]["code"], error["extensions"]["fields"][0]["loc"]) == (
            "validation_error",
            [argument],
        )


async def test_a_session_that_has_ended_asks_nothing(
    sanic_client: LiveServer, mine: dict[str, str], clock: MovableClock
) -> None:
    clock.move(seconds=sanic_client.runtime.settings.session_seconds + 1)

    assert code(await post(sanic_client, mine, ASK)) == "session_expired"
