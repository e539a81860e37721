"""Problems: whatever goes wrong, the answer has one shape, names what is wrong and gives nothing away."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest
from httpx2 import Response
from pydantic import SecretStr
from sqlalchemy.exc import ProgrammingError
from support.builders import activate, activated, licensed, report, run_event
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.refusals import Findings
from support.rows import row_counts

from app.contract.api_document import SMALL_BODY
from app.database.connections import Database
from app.errors import SettingsError
from app.services.licensing import enrollment
from app.services.tenants import branding
from app.settings import Settings

MEMBERS = {"type", "title", "status", "detail", "errorCode", "message", "requestId"}


def told(answer: Response) -> tuple[int, str]:
    """Status and error code of a sound problem document."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.keys() >= MEMBERS
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/docs#error-{problem['errorCode']}"
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert isinstance(problem["message"], str)
    if answer.status_code == 422:
        assert all(error.keys() == {"loc", "msg", "type"} for error in problem["detail"])
    else:
        assert isinstance(problem["detail"], str)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="addon-portal"'
    return answer.status_code, problem["errorCode"]


async def send(live: LiveServer, body: Any, path: str = "/authz/activate") -> Response:
    """The answer to a body, as it is or as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return await live.http.post(path, content=content, headers={"content-type": "application/json"})


async def speak(live: LiveServer, request: bytes) -> bytes:
    """What the server says to bytes that no client library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(live.base_url.rpartition(":")[2]))
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), timeout=10)
    finally:
        writer.close()


async def test_an_unknown_address_is_a_problem(sanic_client: LiveServer) -> None:
    paths = (
        "/nothing",
        "/authz",
        "/licenses/branding",
        "/usage/acme/events/more",
        "/static/../sanic.toml",
        "/%00",
        "/%ff",
    )

    answers = [await sanic_client.http.get(path) for path in paths]

    assert [told(answer) for answer in answers] == [(404, "not_found")] * len(paths)


async def test_a_wrong_method_is_told_the_right_ones(sanic_client: LiveServer) -> None:
    answers = [
        await sanic_client.http.get("/authz/activate"),
        await sanic_client.http.delete("/licenses/policy"),
        await sanic_client.http.put("/usage/acme"),
        await sanic_client.http.patch("/healthz"),
        await sanic_client.http.post("/openapi.json"),
    ]

    assert [told(answer) for answer in answers] == [(405, "method_not_allowed")] * 5
    assert [{method.strip() for method in answer.headers["allow"].split(",")} for answer in answers] == [
        {"POST"},
        {"GET", "HEAD"},
        {"GET", "HEAD"},
        {"GET", "HEAD"},
        {"GET", "HEAD"},
    ]


MALFORMED = [
    b"",
    b"{",
    b"not json",
    b'{"tenant_slug": "a",}',
    b'{"tenant_slug": "\xff\xfe"}',
    b"\x00",
    b"\xef\xbb\xbf{}",
    b"[" * 1000,
    b'{"a":' * 1000,
]


HALVES: list[tuple[bytes, list[str | int]]] = [
    (b'{"tenant_slug": "\\ud800"}', ["tenant_slug"]),
    (b'{"tenant_slug": "a", "more": [1, {"deep": "x\\udfffy"}]}', ["more", 1, "deep"]),
    (b'{"tenant_slug": {"\\ud800": 1}}', ["tenant_slug"]),
]


async def test_half_of_a_character_is_no_text_and_its_field_is_named(sanic_client: LiveServer) -> None:
    answers = {body: await send(sanic_client, body) for body, _ in HALVES}

    assert [told(answer) for answer in answers.values()] == [(422, "validation_error")] * len(HALVES)
    assert {body: [wrong["loc"] for wrong in answer.json()["detail"]] for body, answer in answers.items()} == {
        body: [["body", *where]] for body, where in HALVES
    }


async def test_what_is_not_json_is_malformed(sanic_client: LiveServer) -> None:
    answers = [await send(sanic_client, body) for body in MALFORMED]

    assert [told(answer) for answer in answers] == [(400, "malformed_body")] * len(MALFORMED)


async def test_every_wrong_field_is_named(sanic_client: LiveServer) -> None:
    answer = await send(sanic_client, {"tenant_slug": 5, "activation_code": "x" * 101})

    assert told(answer) == (422, "validation_error")
    assert [(error["loc"], error["type"]) for error in answer.json()["detail"]] == [
        (["body", "tenant_slug"], "string_type"),
        (["body", "activation_code"], "string_too_long"),
        (["body", "hw_fingerprint"], "missing"),
    ]


WRONG_BODIES: list[Any] = [
    [],
    "text",
    7,
    None,
    {},
    {"tenant_slug": "", "activation_code": "a", "hw_fingerprint": "a"},
    {"tenant_slug": "a\0b", "activation_code": "a", "hw_fingerprint": "a"},
    {"tenant_slug": "a", "activation_code": "a\0b", "hw_fingerprint": "a"},
    {"tenant_slug": "a", "activation_code": "a", "hw_fingerprint": "a\0b"},
    {"tenant_slug": "a", "activation_code": "a", "hw_fingerprint": "a" * 1025},
    {"tenant_slug": True, "activation_code": ["a"], "hw_fingerprint": {"a": 1}},
    b'{"tenant_slug": ' + b"9" * 4000 + b', "activation_code": 1e99, "hw_fingerprint": NaN}',
]


async def test_a_field_of_the_wrong_kind_is_refused(sanic_client: LiveServer) -> None:
    before = await row_counts(sanic_client)

    answers = [await send(sanic_client, body) for body in WRONG_BODIES]

    assert [told(answer) for answer in answers] == [(422, "validation_error")] * len(WRONG_BODIES)
    assert await row_counts(sanic_client) == before


async def test_a_wrong_value_is_not_repeated_to_whoever_reads_the_answer(sanic_client: LiveServer) -> None:
    answer = await send(
        sanic_client, {"tenant_slug": "acme", "activation_code": "TOP-SECRET" * 20, "hw_fingerprint": "h"}
    )

    assert told(answer) == (422, "validation_error")
    assert "TOP-SECRET" not in answer.text


async def test_device_ids_are_bounded(sanic_client: LiveServer) -> None:
    bodies = [
        {"tenant_slug": "acme", "device_id": device_id, "refresh_token": "x"}
        for device_id in (0, -1, 1.5, "1", True, None, [])
    ]
    contents = [*bodies, b'{"tenant_slug": "acme", "refresh_token": "x", "device_id": ' + b"9" * 400 + b"}"]

    answers = [await send(sanic_client, content, "/authz/refresh") for content in contents]

    assert [told(answer) for answer in answers] == [(422, "validation_error")] * len(contents)
    assert {tuple(answer.json()["detail"][0]["loc"]) for answer in answers} == {("body", "device_id")}


async def test_a_body_beyond_the_limit_is_too_large(sanic_client: LiveServer) -> None:
    limit = SMALL_BODY

    above = await send(sanic_client, b" " * (limit + 1))
    below = await send(sanic_client, b" " * limit)

    assert (told(above), told(below)) == ((413, "payload_too_large"), (400, "malformed_body"))
    assert above.json()["limit"] == limit


async def test_a_body_far_beyond_the_limit_is_not_read(sanic_client: LiveServer) -> None:
    said = await speak(
        sanic_client,
        b"POST /authz/activate HTTP/1.1\r\nhost: portal\r\ncontent-length: 999999999\r\n\r\n",
    )

    assert b" 413 " in said.splitlines()[0]
    assert b"application/problem+json" in said.lower()


async def test_what_is_not_http_gets_an_answer_and_no_more(sanic_client: LiveServer) -> None:
    said = await speak(sanic_client, b"\x00\x01\x02\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in said.lower()


NO_ALPHABET = [
    (b"GET /api/tenant/profile", b"x-session-token: \xff\xfe", b"401"),
    (b"POST /api/tenant/auth/logout", b"x-session-token: \xff", b"204"),
    (b"GET /admin/api/plans", b"authorization: Bearer pat_\xff", b"401"),
    (b"GET /admin/api/plans", b"cookie: session=\xff.\xff", b"401"),
    (b"GET /licenses/policy", b"authorization: Bearer \xff", b"401"),
    (b"GET /admin/login", b"cookie: form=\xff", b"200"),
    (b"GET /auth/callback?state=a&code=b", b"cookie: sign_in=\xff", b"401"),
]


async def test_what_is_shown_in_no_alphabet_is_refused_and_no_fault(sanic_client: LiveServer) -> None:
    findings = Findings()
    for request_line, header, status in NO_ALPHABET:
        request = b"%b HTTP/1.1\r\nhost: p\r\nconnection: close\r\n%b\r\n\r\n" % (request_line, header)
        said = await speak(sanic_client, request)
        findings.add(f"{request_line!r} {header!r}", said.split()[1], status)

    assert findings.found == findings.expected


async def test_head_answers_like_get_without_a_body(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    paths = ("/healthz", "/licenses/policy", f"/usage/{device.tenant.slug}", "/openapi.json", "/docs", "/nothing")

    answers = [await sanic_client.http.head(path, headers=device.headers) for path in paths]

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 5 + [(404, b"")]


async def test_a_sound_request_id_is_taken_over(sanic_client: LiveServer) -> None:
    headers = {"x-request-id": "order-66.retry_2"}

    answers = [
        await sanic_client.http.get(path, headers=headers) for path in ("/healthz", "/licenses/policy", "/nothing")
    ]

    assert [answer.headers["x-request-id"] for answer in answers] == ["order-66.retry_2"] * 3
    assert answers[1].json()["requestId"] == "order-66.retry_2"


async def test_an_unsound_request_id_is_replaced(sanic_client: LiveServer) -> None:
    unsound = ["", "a b", "x" * 65, "<script>", "a;b", "ü"]

    answers = [await sanic_client.http.get("/healthz", headers={"x-request-id": given.encode()}) for given in unsound]

    ids = [answer.headers["x-request-id"] for answer in answers]
    assert not set(ids) & set(unsound)
    assert len(set(ids)) == len(unsound)
    assert all(re.fullmatch("[a-z0-9-]{10,40}", given) for given in ids)


INSIDES = ("leaked", "SELECT", "Traceback", ".py")
FAULTS = [
    RuntimeError("leaked /home/portal/secret.py"),
    ProgrammingError("SELECT leaked FROM tenants", {"leaked": 1}, Exception("leaked")),
    SettingsError(key="leaked", reason="leaked"),
    KeyError("leaked"),
]


async def test_a_fault_of_ours_gives_nothing_away(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = Findings()
    for fault in FAULTS:

        async def fail(*_: object, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(branding, "branding", fail)
        answer = await sanic_client.http.get("/licenses/branding/acme")
        given_away = [word for word in (*INSIDES, type(fault).__name__) if word in answer.text]
        findings.add(type(fault).__name__, (told(answer), given_away), ((500, "internal_server_error"), []))

    assert findings.found == findings.expected


async def test_a_fault_in_the_middle_of_an_activation_leaves_nothing(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await licensed(sanic_client)
    before = await row_counts(sanic_client)

    async def fail(*_: object) -> None:
        raise RuntimeError("leaked")

    monkeypatch.setattr(enrollment, "record_each", fail)

    answer = await activate(sanic_client, tenant)

    assert told(answer) == (500, "internal_server_error")
    assert await row_counts(sanic_client) == before
    monkeypatch.undo()
    assert (await activate(sanic_client, tenant)).status_code == 200


async def test_without_its_database_the_server_says_come_back_later(
    sanic_client: LiveServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client)
    gone = (
        f"sqlite+aiosqlite:///{tmp_path}/no/such/folder/portal.db"
        if sanic_client.runtime.db.is_sqlite
        else "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"
    )
    settings = sanic_client.runtime.settings.model_copy(update={"database_url": SecretStr(gone)})
    nowhere = await asyncio.to_thread(Database, settings)
    monkeypatch.setattr(sanic_client.runtime, "db", nowhere)

    answers = [
        await sanic_client.http.get("/readyz"),
        await sanic_client.http.get("/licenses/policy", headers=device.headers),
        await sanic_client.http.post(
            "/licenses/heartbeat", headers=device.headers, json={"hw_fingerprint": device.hw_fingerprint}
        ),
        await report(sanic_client, device, run_event("a")),
        await activate(sanic_client, device.tenant),
        await sanic_client.http.get("/licenses/branding/acme"),
    ]

    assert [told(answer) for answer in answers] == [(503, "database_unavailable")] * len(answers)
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert (await sanic_client.http.get("/healthz")).status_code == 200
    monkeypatch.undo()
    await nowhere.close()
    assert (await sanic_client.http.get("/licenses/policy", headers=device.headers)).status_code == 200


async def test_an_answer_that_takes_too_long_says_come_back_later(
    settings: Settings, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(branding, "branding", never)
    async with live_server(settings.model_copy(update={"response_timeout_seconds": 1}), clock) as live:
        answer = await live.http.get("/licenses/branding/acme")

    assert told(answer) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_server_that_stops_takes_nothing_new(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await report(sanic_client, device, run_event("a"))
    await sanic_client.runtime.drain()

    answers = [
        await sanic_client.http.get("/readyz"),
        await sanic_client.http.get("/licenses/policy", headers=device.headers),
    ]

    assert [told(answer) for answer in answers] == [(503, "shutting_down")] * 2
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
