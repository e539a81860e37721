"""Those who call during a soak, as good clients do: each repeats what was not answered until it is."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import httpx2
import orjson
from support.builders import Licensed
from support.processes import ServerProcess
from support.stripe_places import signed

WEBHOOK = "/billing/stripe/webhook"
AGAIN_SECONDS = 0.2
DOCUMENT = "{ projects(limit: 5) { name status tasks(limit: 2) { title } } }"


class Calls:
    """How calls reach the server, and what they were answered."""

    def __init__(self, server: ServerProcess, draw: Random, pause_seconds: float) -> None:
        self._server, self._draw, self._pause_seconds = server, draw, pause_seconds
        self.stopped = asyncio.Event()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.lost = 0
        self.unexpected: Counter[str] = Counter()

    async def ask(
        self, what: str, method: str, path: str, expected: Sequence[int] = (200,), **sent: Any
    ) -> httpx2.Response:
        """The answer, however often it takes to get one.

        A connection that broke and a 503 are none, nor is that the same request, whose worker was killed, still runs.
        """
        await asyncio.sleep(self._draw.uniform(0, 2 * self._pause_seconds))
        while True:
            try:
                answer: httpx2.Response = await self._server.http.request(method, path, **sent)
            except httpx2.TransportError:
                self.lost += 1
            else:
                self.answers[what, answer.status_code] += 1
                if answer.status_code != 503 and not is_running(answer):
                    break
            await asyncio.sleep(AGAIN_SECONDS)
        if answer.status_code not in expected:
            self.unexpected[f"{what} {answer.status_code}: {told_by(answer)}"] += 1
        return answer

    def one_of(self, choices: Sequence[Any]) -> Any:
        """Any of these."""
        return self._draw.choice(choices)


def is_running(answer: httpx2.Response) -> bool:
    """Whether the first request with this Idempotency-Key has not been answered yet."""
    return answer.status_code == 409 and answer.json().get("errorCode") == "idempotency_running"


def told_by(answer: httpx2.Response) -> str:
    """The sentence of a refusal."""
    is_ours = answer.headers.get("content-type", "").startswith("application/problem+json")
    return str(answer.json()["message"] if is_ours else answer.text[:200])


class Device:
    """A device that reports, refreshes, and now and then gives its seat back and takes it again."""

    def __init__(self, calls: Calls, tenant: Licensed, name: str) -> None:
        self._calls, self._tenant, self._name = calls, tenant, name
        self._pair: dict[str, Any] = {}
        self.acknowledged: list[str] = []

    async def live(self) -> None:
        """Until the soak stops."""
        await self._activate()
        turn = 0
        while not self._calls.stopped.is_set():
            turn += 1
            await self._calls.ask("policy", "GET", "/licenses/policy", headers=self._headers)
            sign = {"hw_fingerprint": self._name}
            await self._calls.ask("heartbeat", "POST", "/licenses/heartbeat", headers=self._headers, json=sign)
            await self._report(f"{self._name}-{turn}")
            if turn % 5 == 0:
                await self._refresh()
            if turn % 50 == 0:
                await self._calls.ask("deactivate", "POST", "/authz/deactivate", (200, 204), headers=self._headers)
                await self._activate()

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._pair['access_token']}"}

    async def _activate(self) -> None:
        body = {
            "tenant_slug": self._tenant.slug,
            "activation_code": self._tenant.codes[0],
            "hw_fingerprint": self._name,
        }
        # With a key, because an answer that was lost is repeated.
        headers = {"idempotency-key": uuid.uuid4().hex}
        answer = await self._calls.ask("activate", "POST", "/authz/activate", json=body, headers=headers)
        self._pair = answer.json()

    async def _refresh(self) -> None:
        body = {
            "tenant_slug": self._tenant.slug,
            "device_id": self._pair["device_id"],
            "refresh_token": self._pair["refresh_token"],
        }
        answer = await self._calls.ask("refresh", "POST", "/authz/refresh", json=body)
        if answer.status_code == 200:
            self._pair = answer.json()

    async def _report(self, event_id: str) -> None:
        events = [{"id": event_id, "kind": "run", "quantity": 1}]
        path = f"/usage/{self._tenant.slug}/events"
        answer = await self._calls.ask("usage", "POST", path, headers=self._headers, json={"events": events})
        if answer.status_code == 200 and answer.json()["events"][0]["status"] in {"accepted", "duplicate"}:
            self.acknowledged.append(event_id)


class Person:
    """Somebody who is signed in for a tenant, looks at everything, and starts runs of a project."""

    def __init__(self, calls: Calls, tenant: Licensed, session: Mapping[str, str]) -> None:
        self._calls, self._tenant, self._session = calls, tenant, dict(session)
        self.runs: list[int] = []

    async def live(self) -> None:
        """Until the soak stops."""
        while not self._calls.stopped.is_set():
            project_id = await self._project()
            await self._run(project_id)

    async def _project(self) -> str:
        name = f"Soak {uuid.uuid4().hex[:8]}"
        body = {"name": name, "description": "A shop", "objectives": "REST API for hats with name and size"}
        keyed = {**self._session, "idempotency-key": uuid.uuid4().hex}
        place = "/api/tenant/projects"
        made = await self._calls.ask("project", "POST", place, (200, 201), headers=keyed, json=body)
        project_id = str(made.json()["projectId"])
        path = f"{place}/{project_id}/assign-activation-code"
        # Whoever repeats it after a lost answer is told that it has been done.
        await self._calls.ask(
            "assign",
            "POST",
            path,
            (200, 400, 409),
            headers=self._session,
            json={"activation_code": self._tenant.codes[1]},
        )
        return project_id

    async def _run(self, project_id: str) -> None:
        place = f"/api/tenant/projects/{project_id}"
        keyed = {**self._session, "idempotency-key": uuid.uuid4().hex}
        begun = await self._calls.ask("run", "POST", f"{place}/run", headers=keyed)
        if begun.status_code != 200:
            return
        run_id = int(begun.json()["execution_id"])
        self.runs.append(run_id)
        while not self._calls.stopped.is_set():
            seen = await self._calls.ask("watch run", "GET", f"{place}/runs/{run_id}", headers=self._session)
            await self._look()
            if seen.json()["state"] != "running":
                await self._calls.ask("download", "GET", f"{place}/download", headers=self._session)
                return

    async def _look(self) -> None:
        path = self._calls.one_of(
            ["/api/tenant/profile", "/api/tenant/billing", "/api/tenant/projects", f"/usage/{self._tenant.slug}"]
        )
        await self._calls.ask("page", "GET", path, headers=self._session)
        body = {"query": DOCUMENT}
        answer = await self._calls.ask("graphql", "POST", "/graphql", headers=self._session, json=body)
        if answer.status_code == 200 and "errors" in answer.json():
            self._calls.unexpected[f"graphql: {answer.json()['errors'][0]['message']}"] += 1


class Operator:
    """Somebody who looks at lists, makes codes and revokes them."""

    LISTS = (
        "/admin/api/tenants",
        "/admin/api/plans",
        "/admin/api/codes",
        "/admin/api/devices",
        "/admin/api/events",
        "/admin/api/runs",
        "/admin/api/dashboard-stats",
        "/admin/api/recent-activities",
    )

    def __init__(self, calls: Calls, headers: Mapping[str, str], tenants: Sequence[Licensed]) -> None:
        self._calls, self._headers, self._tenants = calls, dict(headers), tenants

    async def live(self) -> None:
        """Until the soak stops."""
        while not self._calls.stopped.is_set():
            for path in self.LISTS:
                await self._calls.ask("list", "GET", path, headers=self._headers)
            tenant = self._calls.one_of(self._tenants)
            keyed = {**self._headers, "idempotency-key": uuid.uuid4().hex}
            wish = {"tenant_slug": tenant.slug, "count": 3}
            await self._calls.ask("codes", "POST", "/admin/api/codes/generate", (200, 201), headers=keyed, json=wish)


class Stripe:
    """What Stripe sends: events of many customers, some of them twice, and not always in their order."""

    def __init__(self, calls: Calls, events: Sequence[Mapping[str, Any]]) -> None:
        self._calls, self._waiting = calls, list(events)
        self.delivered = 0

    async def live(self) -> None:
        """Until the soak stops, or everything is delivered."""
        while self._waiting and not self._calls.stopped.is_set():
            place = self._calls.one_of(range(min(4, len(self._waiting))))
            body = orjson.dumps(self._waiting[place])
            if self._calls.one_of([True, True, False]):
                self._waiting.pop(place)
                self.delivered += 1
            await self._calls.ask("webhook", "POST", WEBHOOK, content=body, headers=signed(body))
