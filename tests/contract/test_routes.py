"""Routes: nothing can be reached whose rule is not stated, and the document says of each what is enforced."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.contract import GUARDED, OPERATIONS, label
from support.live import LiveServer
from support.refusals import Findings

from app.contract.api_document import SECURITY_SCHEMES, _answer_schemas, document, record_of
from app.server import PAGES

# What is no operation, and why; anybody may read it, and it is the same for everybody, but for GraphQL.
WITHOUT_A_RULE = {
    "/": "leads to the pages, or to the documentation",
    "/docs": "the documentation of the API",
    "/openapi.json": "the description of the API",
    "/.well-known/jwks.json": "public keys",
    "/graphql": "has rules of its own, which tests/blueprints/test_graphql_http.py holds",
    "/dev/mailbox": "mail in development, for whoever sits at this machine",
    **dict.fromkeys(
        (
            "/dev/stripe",
            "/dev/stripe/checkout/{session_id}",
            "/dev/stripe/portal/{session_id}",
            "/dev/stripe/invoices/{invoice_id}",
            "/dev/stripe/v1/{path}",
        ),
        "Stripe's simulator in development, for whoever sits at this machine",
    ),
    "/favicon.ico": "the icon, where browsers look for it by themselves",
    "/static/admin.css": "how the pages look",
    "/static/docs.css": "how the documentation looks",
    "/static/docs.js": "what shows the documentation",
    "/static/explorer.css": "how the explorer looks",
    "/static/explorer.js": "what asks in the explorer",
    "/static/graphiql/graphiql.min.css": "how the explorer looks",
    "/static/graphiql/graphiql.min.js": "the explorer of GraphQL",
    "/static/graphiql/react-dom.production.min.js": "what the explorer is made with",
    "/static/graphiql/react.production.min.js": "what the explorer is made with",
    "/static/icon.svg": "the icon of the pages",
    "/static/swagger-ui/swagger-ui.css": "how the documentation looks",
    "/static/swagger-ui/swagger-ui-bundle.js": "what shows the documentation",
}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The OpenAPI document of all operations."""
    return document(OPERATIONS)


async def test_every_route_has_a_stated_rule(sanic_client: LiveServer) -> None:
    stated = {(operation.method, operation.path) for operation in OPERATIONS}
    stated |= {(page.method, page.path) for pages in PAGES for page in pages.pages}

    routes = {
        (method, "/" + re.sub(r"<(\w+)(:[^>]*)?>", r"{\1}", route.path).strip("/"))
        for route in sanic_client.app.router.routes
        for method in route.methods
    }

    # HEAD is GET without its body.
    without = {(method, path) for method, path in routes - stated if not (method == "HEAD" and ("GET", path) in stated)}
    assert {path for _, path in without} == set(WITHOUT_A_RULE)
    changing = {(method, path) for method, path in without if method not in {"GET", "HEAD"}}
    assert {(method, path) for method, path in changing if not path.startswith("/dev/stripe")} == {("POST", "/graphql")}
    assert stated <= routes


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation.name for operation in OPERATIONS]

    assert len(names) == len(set(names))


def test_the_document_states_who_may_call(described: dict[str, Any]) -> None:
    findings = Findings()
    for operation in OPERATIONS:
        said, caller = described["paths"][operation.path][operation.method.lower()], operation.caller
        found = ([name for way in said.get("security", []) for name in way], said.get("x-permission"))
        # Any token may be shown to be ended, also one that is not good: it is a header, and no way to identify oneself.
        rule = set(caller.schemes) <= set(SECURITY_SCHEMES), bool(caller.schemes or caller.tenant_token)
        expected = (list(caller.schemes), caller.permission and caller.permission.value)
        findings.add(label(operation), (found, rule), (expected, (True, not caller.is_anyone)))

    assert findings.found == findings.expected


def test_the_document_states_every_error_by_its_status(described: dict[str, Any]) -> None:
    findings = Findings()
    for operation in OPERATIONS:
        responses = described["paths"][operation.path][operation.method.lower()]["responses"]
        missing = [
            (error.code, error.status)
            for error in operation.all_errors
            if f"`{error.code}`" not in responses.get(str(error.status), {}).get("description", "")
        ]
        findings.add(label(operation), (missing, str(operation.status) in responses), ([], True))

    assert findings.found == findings.expected


def test_a_guarded_operation_states_how_it_refuses(described: dict[str, Any]) -> None:
    findings = Findings()
    for operation in GUARDED:
        responses = described["paths"][operation.path][operation.method.lower()]["responses"]
        codes = {"401": [operation.caller.not_sent.code]}
        if operation.caller.permission is not None:
            codes["403"] = ["permission_missing", "origin_refused"]
        stated = {
            status: [code for code in of_status if f"`{code}`" in responses.get(status, {}).get("description", "")]
            for status, of_status in codes.items()
        }
        findings.add(label(operation), stated, codes)

    assert findings.found == findings.expected


def test_no_two_records_have_one_name_in_the_document() -> None:
    seen: dict[str, Any] = {}
    answers = {record_of(operation.answers) for operation in OPERATIONS if isinstance(operation.answers, type)}
    for answer in sorted(answers, key=lambda each: each.__name__):
        for name, schema in _answer_schemas(answer).items():
            assert seen.setdefault(name, schema) == schema, f"{name}, also in {answer.__module__}"


def test_what_creates_something_states_how_it_may_be_repeated(described: dict[str, Any]) -> None:
    creating = [operation for operation in OPERATIONS if operation.creates]

    assert "POST /authz/activate" in map(label, creating)
    # What is shown only once is gone by the answer, so it can be repeated in the same way.
    shown_once = [label(operation) for operation in creating if operation.method != "POST"]
    assert shown_once == ["GET /api/tenant/billing/purchases/{purchase_id}/codes"]
    for operation in creating:
        said = described["paths"][operation.path][operation.method.lower()]
        assert "Idempotency-Key" in {parameter["name"] for parameter in said["parameters"]}
        assert "`idempotency_conflict`" in said["responses"]["409"]["description"]
