"""Fuzzing: whatever is sent to an operation, the answer is one that the OpenAPI document describes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Self

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from support.builders import Activated, activated, licensed
from support.live import LiveServer, live_server

from app.settings import Settings

FULL = os.environ.get("PORTAL_PROOF") == "full"
EXAMPLES = 500 if FULL else 15
SEED = 20251


class Background:
    """A server in a thread of its own, because the sender blocks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._done = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.live: LiveServer | None = None
        self.device: Activated | None = None
        self.document: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        try:
            async with live_server(self._settings) as live:
                self.live = live
                self.device = await activated(live, await licensed(live, max_uses=100))
                self.document = (await live.http.get("/openapi.json")).json()
                self._ready.set()
                await self._done.wait()
        finally:
            self._ready.set()


@pytest.fixture
def background(settings: Settings) -> Iterator[Background]:
    """A server without rate limits, and a device that is activated on it."""
    with Background(settings.model_copy(update={"rate_limits": "off"})) as server:
        assert server.device is not None
        yield server


def sent(background: Background, access_token: str | None) -> tuple[Counter[int], list[str]]:
    """The statuses of all answers, and what every check has against them."""
    assert background.live is not None
    configured = {
        "base-url": background.live.base_url,
        "auth": {"openapi": {"device": {"bearer": access_token}}} if access_token else {},
        "seed": SEED,
        "workers": 1,
        "continue-on-failure": True,
        "cache": {"enabled": False},
        "generation": {"max-examples": EXAMPLES, "database": "none"},
        "phases": {"stateful": {"enabled": False}},
        "checks": {
            # The query of a refresh may stand in its body instead, which OpenAPI has no words for.
            "missing_required_header": {"expected-statuses": [400, 401, 403, 404, 405, 413, 422]},
            "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 413, 422]},
            "positive_data_acceptance": {"enabled": False},
        },
    }
    schema = schemathesis.openapi.from_dict(background.document, config=SchemathesisConfig.from_dict(configured))
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


def test_a_signed_in_device_gets_only_answers_that_are_described(background: Background) -> None:
    assert background.device is not None
    statuses, complaints = sent(background, background.device.access_token)

    assert complaints == []
    assert statuses.keys() >= {200, 400, 403, 404, 405, 422}
    assert not [status for status in statuses if status >= 500]


def test_a_stranger_gets_only_answers_that_are_described(background: Background) -> None:
    statuses, complaints = sent(background, None)

    assert complaints == []
    assert statuses.keys() >= {200, 400, 401, 404, 405, 422}
    assert not [status for status in statuses if status >= 500]
