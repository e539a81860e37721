"""What an operation may state: a raw body, headers that must be there, and the errors that come by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.contract import OPERATIONS
from support.databases import settings_for
from support.live import LiveServer, live_server

from app import server
from app.access.callers import ANYONE
from app.context import Context
from app.contract.api_document import DATABASE_ERRORS, document
from app.contract.camel import CAMEL
from blueprints.web.operations import Api

MAX_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a webhook was sent."""

    __pydantic_config__ = CAMEL
    body_bytes: str
    signed_by: str


def webhooks() -> Api:
    api = Api("webhooks", "/webhooks")

    @api.operation(
        "POST", "/stripe", caller=ANYONE, body=bytes, headers={"X-Signature": "Who has sent it."}, answers=Delivery
    )
    async def deliver(ctx: Context, body: bytes, headers: Mapping[str, str]) -> Delivery:
        """Take a delivery as it came."""
        return Delivery(body.hex(), headers["X-Signature"])

    return api


@pytest.fixture
async def hooked(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveServer]:
    """A server with a webhook, and bodies of a size that no other test has."""
    monkeypatch.setattr(server, "APIS", (*server.APIS, webhooks()))
    async with live_server(
        settings_for(database, tmp_path).model_copy(update={"request_max_bytes": MAX_BYTES})
    ) as live:
        yield live


async def test_a_raw_body_arrives_as_it_was_sent(hooked: LiveServer) -> None:
    body = b'{"not": json}\x00\xff'

    answer = await hooked.http.post("/webhooks/stripe", content=body, headers={"x-signature": "v1=abc"})

    assert (answer.status_code, answer.json()) == (200, {"bodyBytes": body.hex(), "signedBy": "v1=abc"})


async def test_a_header_that_is_needed_is_named(hooked: LiveServer) -> None:
    answer = await hooked.http.post("/webhooks/stripe", content=b"x")

    assert answer.status_code == 422
    assert answer.json()["detail"] == [
        {"type": "missing", "loc": ["header", "X-Signature"], "msg": "must be sent as a header"}
    ]


async def test_a_raw_body_is_bounded_like_any_other(hooked: LiveServer) -> None:
    headers = {"x-signature": "v1=abc"}
    sizes = (MAX_BYTES, MAX_BYTES + 1)

    answers = [await hooked.http.post("/webhooks/stripe", content=b"x" * size, headers=headers) for size in sizes]

    assert [answer.status_code for answer in answers] == [200, 413]


def test_the_document_shows_a_raw_body_and_its_headers() -> None:
    described = document(webhooks().operations)["paths"]["/webhooks/stripe"]["post"]

    assert described["requestBody"]["content"] == {"application/octet-stream": {}}
    assert [(named["name"], named["in"], named["required"]) for named in described["parameters"]] == [
        ("X-Signature", "header", True)
    ]
    assert {"413", "422", "503"} <= described["responses"].keys()


def test_every_operation_states_what_the_database_may_answer_unless_it_never_asks() -> None:
    silent = {operation.path for operation in OPERATIONS if not set(DATABASE_ERRORS) <= set(operation.all_errors)}

    assert silent == {"/healthz", "/metrics"}
