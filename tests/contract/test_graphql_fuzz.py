"""Fuzzing GraphQL: whatever document is made of the schema is answered by its rules, and never by a fault of ours."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from graphql import introspection_from_schema
from support.admin import as_operator, as_tenant
from support.background import Background
from support.builders import licensed
from support.graphql import TASKS, stored_project, stored_run
from support.live import LiveServer

from app.resolvers.schema import schema
from app.settings import Settings

FULL = os.environ.get("PORTAL_PROOF") == "full"
EXAMPLES = 500 if FULL else 6
SEED = 20251


class Asked(Background):
    """A server with a run, a tenant and an operator."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.headers: dict[str, dict[str, str]] = {}

    async def prepare(self, live: LiveServer) -> None:
        """Store the run, and let both in."""
        tenant = await licensed(live)
        await stored_run(live, await stored_project(live, tenant), TASKS)
        self.headers = {"tenant": await as_tenant(live, tenant.tenant_id), "owner": await as_operator(live)}


@pytest.fixture
def asked(settings: Settings) -> Iterator[Asked]:
    """A server without rate limits."""
    with Asked(settings.model_copy(update={"rate_limits": "off"})) as server:
        yield server


def answers(server: Asked, who: str) -> tuple[list[Any], list[str]]:
    """The answers to generated documents, and what every check has against them."""
    # Whoever runs other tests need not wait for it.
    import schemathesis
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import Status, events, from_schema

    assert server.live is not None
    config = {
        "base-url": f"{server.live.base_url}/graphql",
        "headers": server.headers[who],
        "seed": SEED,
        "workers": 1,
        "continue-on-failure": True,
        "cache": {"enabled": False},
        "generation": {"max-examples": EXAMPLES, "database": "none"},
        "phases": {"stateful": {"enabled": False}},
        # What asks for too much, or for what is not there, is refused; and it takes each error of a field for ours.
        "checks": {"positive_data_acceptance": {"enabled": False}, "not_a_server_error": {"enabled": False}},
    }
    loaded = schemathesis.graphql.from_dict(
        {**introspection_from_schema(schema())}, config=SchemathesisConfig.from_dict(config)
    )
    received: list[Any] = []
    complaints: list[str] = []
    for happened in from_schema(loaded).execute():
        if isinstance(happened, events.NonFatalError | events.FatalError):
            complaints.append(f"{happened}")
        if not isinstance(happened, events.ScenarioFinished):
            continue
        recorder = happened.recorder
        received += [one.response for one in recorder.interactions.values() if one.response]
        complaints += [
            f"{recorder.label}: {check.name}: {failure.failure.message} <- {failure.code_sample[:400]}"
            for checks in recorder.checks.values()
            for check in checks
            if check.status is Status.FAILURE and (failure := check.failure_info)
        ]
    return received, complaints


@pytest.mark.parametrize("who", ["tenant", "owner"])
def test_whatever_document_is_sent_is_answered_by_the_rules(
    asked: Asked, who: str, capfd: pytest.CaptureFixture[str]
) -> None:
    received, complaints = answers(asked, who)

    bodies = [orjson.loads(one.content) for one in received]
    codes = Counter(error["extensions"]["code"] for body in bodies for error in body.get("errors", ()))
    assert complaints == []
    assert {one.status_code for one in received} == {200}
    assert "internal_server_error" not in codes
    assert sum("errors" not in body for body in bodies) > 10
    assert codes.keys() >= {"graphql_invalid", "validation_error", "task_not_found"}
    assert "Traceback" not in "".join(capfd.readouterr())
