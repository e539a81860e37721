"""Fuzzing: whatever is sent to an operation, by whomever, the answer is one that the OpenAPI document describes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update
from support.admin import as_operator, as_tenant
from support.background import Background
from support.builders import activated, licensed
from support.contract import NOBODYS_ID, OPERATIONS, accepts, label
from support.live import LiveServer
from support.rows import change

from app.access.permissions import Role
from app.contract.api_document import Operation
from app.settings import Settings
from sql.tables import api_tokens

FULL = os.environ.get("PORTAL_PROOF") == "full"
EXAMPLES = 500 if FULL else 2
SEED = 20251
LOGOUT = "POST /api/tenant/auth/logout"


class Described(Background):
    """A server, the ways to identify oneself there, and its document."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        # By who does so, as the sender wants them.
        self.shown: dict[str, dict[str, Any]] = {"stranger": {}}
        self.document: dict[str, Any] = {}
        self.half = int(settings.database.get_backend_name() == "sqlite")

    async def prepare(self, live: LiveServer) -> None:
        """Let everybody in who is to ask."""
        self.shown |= await shown(live)
        self.document = (await live.http.get("/openapi.json")).json()


@pytest.fixture
def background(settings: Settings) -> Iterator[Described]:
    """A server without rate limits, and a device that is activated on it."""
    with Described(settings.model_copy(update={"rate_limits": "off"})) as server:
        assert server.document
        yield server


async def shown(live: LiveServer) -> dict[str, dict[str, Any]]:
    """A device, a tenant's session, and a program of each role."""
    tenant = await licensed(live, max_uses=100)
    found: dict[str, dict[str, Any]] = {
        "device": {"device": {"bearer": (await activated(live, tenant)).access_token}},
        "tenant session": {"tenantSession": {"api_key": (await as_tenant(live, tenant.tenant_id))["x-session-token"]}},
    }
    for role in Role:
        bearer = (await as_operator(live, role))["authorization"].removeprefix("Bearer ")
        found[role.value] = {"apiToken": {"bearer": bearer}}
    # Where no made-up number revokes them.
    await change(live, update(api_tokens).values(id=api_tokens.c.id + NOBODYS_ID))
    return found


def concerns(operation: Operation, who: str) -> bool:
    """Whether an operation reads more than who asks; the others refuse before, which is proved for each elsewhere."""
    if who == "stranger":
        return operation.caller.is_anyone or label(operation) == LOGOUT
    return not operation.caller.is_anyone and accepts(operation, f"{who} token" if who in set(Role) else who)


def configured(live: LiveServer, shown: dict[str, Any]) -> dict[str, Any]:
    """How the server is asked, by somebody who is shown as the document says."""
    return {
        "base-url": live.base_url,
        "auth": {"openapi": shown} if shown else {},
        "seed": SEED,
        "workers": 1,
        "continue-on-failure": True,
        "cache": {"enabled": False},
        "generation": {"max-examples": EXAMPLES, "database": "none"},
        "phases": {"stateful": {"enabled": False}},
        "checks": {
            # The query of a refresh may stand in its body instead, which OpenAPI has no words for.
            "missing_required_header": {"expected-statuses": [400, 401, 403, 404, 405, 412, 413, 422]},
            # An Idempotency-Key that stands for another request is refused first.
            "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 412, 413, 422]},
            "positive_data_acceptance": {"enabled": False},
        },
    }


def sent(background: Described, who: str) -> tuple[Counter[int], list[str]]:
    """The statuses of all answers, and what every check has against them."""
    # Whoever runs other tests need not wait for it.
    import schemathesis
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import Status, events, from_schema

    assert background.live is not None
    schema = schemathesis.openapi.from_dict(
        background.document, config=SchemathesisConfig.from_dict(configured(background.live, background.shown[who]))
    )
    # A session that it has ended would fuzz nothing more: any token may be shown there, so a stranger does.
    asked = {label(one) for one in OPERATIONS if FULL or concerns(one, who)} - (
        {LOGOUT} if who == "tenant session" else set()
    )
    if not FULL and who in {"tenant session", "owner"}:
        # What is read of a request is the same code on both databases: each is sent half of these many operations.
        asked = {one for place, one in enumerate(sorted(asked)) if place % 2 == background.half}
    schema = schema.include(lambda ctx: f"{ctx.operation.method.upper()} {ctx.operation.path}" in asked)
    statuses: Counter[int] = Counter()
    complaints: list[str] = []
    for happened in from_schema(schema).execute():
        if isinstance(happened, events.NonFatalError | events.FatalError):
            complaints.append(f"{happened}")
        if not isinstance(happened, events.ScenarioFinished):
            continue
        recorder = happened.recorder
        statuses.update(
            interaction.response.status_code for interaction in recorder.interactions.values() if interaction.response
        )
        complaints += [
            f"{recorder.label}: {check.name}: {check.failure_info.failure.title}: {check.failure_info.failure.message}"
            f" <- {check.failure_info.code_sample[:400]}"
            for checks in recorder.checks.values()
            for check in checks
            if check.status is Status.FAILURE and check.failure_info
        ]
    return statuses, complaints


# What each is answered at least, asking only where it is let in.
EXPECTED = {
    "stranger": {200, 400, 401, 404, 405, 422},
    "device": {200, 400, 403, 405, 422},
    "tenant session": {200, 400, 403, 405, 422},
    "owner": {200, 400, 404, 405, 409, 422},
    "operator": {200, 400, 404, 405, 409, 422},
    "read_only": {200, 400, 404, 405, 422},
}
# Roles differ in where they are let in and in nothing that is read there.
ASKING = EXPECTED if FULL else ["stranger", "device", "tenant session", "owner"]


@pytest.mark.parametrize("who", ASKING)
def test_whoever_asks_whatever_gets_only_answers_that_are_described(background: Described, who: str) -> None:
    statuses, complaints = sent(background, who)

    assert complaints == []
    assert statuses.keys() >= EXPECTED[who]
    assert not [status for status in statuses if status >= 500]
