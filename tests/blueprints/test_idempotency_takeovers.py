"""Two holders of one key: whoever stood still too long changes nothing, and what was done is not done anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import update
from support.admin import as_operator, as_tenant, new_tenant
from support.builders import Licensed, licensed
from support.clocks import MovableClock
from support.contract import OPERATIONS
from support.live import LiveServer
from support.rows import change, row_counts
from support.runs import ready_project

from app import context
from app.database.key_holds import confirm_key_holds
from app.errors import DatabaseUnavailableError
from app.services.idempotency import hold_seconds
from app.services.licensing import enrollment
from app.services.tenants import onboarding
from blueprints.web import idempotency
from sql.tables import metadata, projects

KEY = {"idempotency-key": "one-key"}
# What belongs to keys and to figures, and not to what was created.
OTHERS = {"idempotent_answers", "rate_windows"}


class Repeated:
    """A request that creates something, and what one such request adds to the database."""

    def __init__(self, live: LiveServer, name: str, headers: dict[str, str], tenant: Licensed) -> None:
        self.live, self.headers, self._slug = live, headers, tenant.slug
        self.path, self._body = {
            "token": ("/admin/api/tokens", lambda n: {"name": f"token {n}", "role": "operator"}),
            "plan": (
                "/admin/api/plans",
                lambda n: {"name": f"Plan {n}", "stripePriceId": f"price_{n}", "monthlyRunQuota": 10},
            ),
            "tenant": ("/admin/api/tenants", lambda n: new_tenant(f"acme-{n}", tenant.plan, email="it@example.com")),
            "project": ("/api/llm/projects", lambda n: {"projectId": f"project-{n}", "clientName": "Acme"}),
            "own project": (
                "/api/tenant/projects",
                lambda n: {"name": f"Project {n}", "description": "A shop", "objectives": "Sell hats"},
            ),
            "run": ("/api/tenant/projects/{project_id}/run", lambda n: None),
            "restart": ("/api/tenant/projects/{project_id}/restart", lambda n: None),
            "link": ("/admin/api/tenants/{tenant_slug}/sign-in-link", lambda n: None),
            "codes": ("/admin/api/codes/generate", lambda n: {"tenant_slug": tenant.slug, "label": f"batch {n}"}),
            "activation": (
                "/authz/activate",
                lambda n: {
                    "tenant_slug": tenant.slug,
                    "activation_code": tenant.codes[0],
                    "hw_fingerprint": f"hardware-{n}",
                },
            ),
            "known device": (
                "/authz/activate",
                lambda n: {
                    "tenant_slug": tenant.slug,
                    "activation_code": tenant.codes[n],
                    "hw_fingerprint": "hardware",
                },
            ),
        }[name]

    async def send(self, number: int = 2, **headers: str) -> Response:
        """The answer to the request; another number creates another thing."""
        path = self.path.format(project_id=f"shop-{number}", tenant_slug=self._slug)
        return await self.live.http.post(path, json=self._body(number), headers={**self.headers, **headers})

    async def added_by(self, act: Callable[[], Awaitable[Any]]) -> dict[str, int]:
        """How many rows something adds to each table of what may be created."""
        before = await row_counts(self.live)
        await act()
        after = await row_counts(self.live)
        return {name: after[name] - before[name] for name in metadata.tables if name not in OTHERS}


REQUESTS = [
    "token",
    "plan",
    "tenant",
    "project",
    "own project",
    "run",
    "restart",
    "link",
    "codes",
    "activation",
    "known device",
]
OF_TENANTS = {"own project", "run", "restart"}


async def test_every_operation_that_takes_a_key_is_tried(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=4)
    tried = {Repeated(sanic_client, name, {}, tenant).path for name in REQUESTS}

    # Codes that were bought are shown once by a GET, which makes nothing.
    made = [one for one in OPERATIONS if one.creates and not one.repeats and one.method != "GET"]
    assert tried == {operation.path for operation in made}


@pytest.fixture(params=REQUESTS)
async def repeated(request: pytest.FixtureRequest, sanic_client: LiveServer) -> Repeated:
    """Each request that takes a key, after one has been answered, which is known hardware for the last."""
    tenant = await licensed(sanic_client, codes=4, max_uses=10)
    session = await as_tenant(sanic_client, tenant.tenant_id)
    headers = session if request.param in OF_TENANTS else await as_operator(sanic_client)
    if request.param in {"run", "restart"}:
        for number in range(4):
            await ready_project(sanic_client, tenant, f"Shop {number}")
    if request.param == "restart":
        await change(sanic_client, update(projects).values(execution_status="failed"))
    made = Repeated(sanic_client, request.param, headers, tenant)
    assert (await made.send(0)).is_success
    return made


class Pause:
    """Holds up whoever comes first, and lets everybody after it through."""

    def __init__(self) -> None:
        self.entered, self.leave = asyncio.Event(), asyncio.Event()

    async def first_waits(self) -> None:
        """Wait, if nobody has before."""
        if not self.entered.is_set():
            self.entered.set()
            await self.leave.wait()


def told(answer: Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("errorCode")


async def test_who_stood_still_before_its_transaction_changes_nothing(
    repeated: Repeated, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = await repeated.added_by(lambda: repeated.send(1))
    pause, original = Pause(), idempotency._run
    answers: list[Response] = []

    async def slow(*arguments: Any) -> Any:
        await pause.first_waits()
        return await original(*arguments)

    async def both() -> None:
        first = asyncio.create_task(repeated.send(**KEY))
        await pause.entered.wait()
        clock.move(seconds=hold_seconds(repeated.live.runtime.settings) + 1)
        answers.append(await repeated.send(**KEY))
        pause.leave.set()
        answers.append(await first)

    monkeypatch.setattr(idempotency, "_run", slow)
    added = await repeated.added_by(both)

    heir, late = answers
    assert heir.is_success, heir.text
    refusal = (late.status_code, late.json()["errorCode"], late.headers.get("retry-after"))
    conflicts = {(409, "plan_conflict", None), (409, "tenant_conflict", None), (400, "project_conflict", None)}
    conflicts |= {(409, "run_in_progress", None), (400, "restart_refused", None)}
    assert refusal in {(409, "idempotency_running", "1"), *conflicts}
    assert added == plain
    again = await repeated.send(**KEY)
    assert (again.content, again.headers["idempotent-replayed"]) == (heir.content, "true")


async def test_who_stands_still_within_its_transaction_creates_nothing_beside_its_heir(
    repeated: Repeated, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = await repeated.added_by(lambda: repeated.send(1))
    pause, claimed = Pause(), asyncio.Event()
    answers: list[Response] = []
    is_sqlite = repeated.live.runtime.db.is_sqlite

    async def slow(*arguments: Any, **more: Any) -> None:
        await pause.first_waits()
        await confirm_key_holds(*arguments, **more)

    original = idempotency.run_held

    async def noted(*arguments: Any) -> Any:
        claimed.set()
        return await original(*arguments)

    async def both() -> None:
        first = asyncio.create_task(repeated.send(**KEY))
        await pause.entered.wait()
        clock.move(seconds=hold_seconds(repeated.live.runtime.settings) + 1)
        claimed.clear()
        second = asyncio.create_task(repeated.send(**KEY))
        if is_sqlite:
            # Nobody takes a key over beside a transaction there: it has the one writer's place.
            await asyncio.sleep(0.05)
        else:
            await claimed.wait()
        pause.leave.set()
        answers.extend(await asyncio.gather(first, second))

    monkeypatch.setattr(idempotency, "run_held", noted)
    for module in (context, enrollment):
        monkeypatch.setattr(module, "confirm_key_holds", slow)
    added = await repeated.added_by(both)

    first, second = answers
    done, refused = (first, second) if is_sqlite else (second, first)
    assert done.is_success, done.text
    if is_sqlite:
        assert told(refused) == (409, "idempotency_running") or refused.content == done.content
    else:
        assert told(refused) == (409, "idempotency_running")
        assert "nothing was changed" in refused.json()["detail"]
    assert added == plain
    assert (await repeated.send(**KEY)).content == done.content


async def test_what_was_done_is_not_done_anew_when_its_answer_was_lost(
    repeated: Repeated, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = await repeated.added_by(lambda: repeated.send(1))

    async def dies(*arguments: Any) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(idempotency, "settle", dies)
    added = await repeated.added_by(lambda: repeated.send(**KEY))
    monkeypatch.undo()
    within = await repeated.send(**KEY)
    clock.move(seconds=hold_seconds(repeated.live.runtime.settings) + 1)
    later: list[Response] = []

    async def again() -> None:
        later.append(await repeated.send(**KEY))

    added_later = await repeated.added_by(again)

    assert added == plain
    assert told(within) == (409, "idempotency_running")
    if repeated.path == "/authz/activate":
        # Whoever activates again with its code costs nothing, and gets the tokens that it has lost.
        assert (later[0].status_code, added_later["devices"]) == (200, 0)
    else:
        assert told(later[0]) == (409, "idempotency_answer_lost")
        assert set(added_later.values()) == {0}


async def test_a_fault_after_the_commit_does_not_give_the_key_back(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await licensed(sanic_client)
    asked = Repeated(sanic_client, "tenant", await as_operator(sanic_client), tenant)

    def fails(*arguments: Any) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(onboarding, "enqueue_deliveries", fails)
    first = await asked.send(**KEY)
    monkeypatch.undo()
    within = await asked.send(**KEY)
    clock.move(seconds=hold_seconds(sanic_client.runtime.settings) + 1)

    assert [told(answer) for answer in (first, within, await asked.send(**KEY))] == [
        (503, "database_unavailable"),
        (409, "idempotency_running"),
        (409, "idempotency_answer_lost"),
    ]
