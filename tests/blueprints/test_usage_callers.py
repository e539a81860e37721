"""Usage is seen and reported by whose it is: the tenant's devices, its sessions, and operators who may."""

from __future__ import annotations

from typing import Any

import pytest
from httpx2 import Response
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import Licensed, activated, licensed, report, run_event
from support.live import LiveServer
from support.rows import rows
from support.statements import counted_statements

from app.database.coalesce import Coalescer
from app.services.licensing.devices import revoke_device
from sql.tables import usage_events


async def seen(live: LiveServer, slug: str, headers: dict[str, str]) -> Response:
    return await live.http.get(f"/usage/{slug}", headers=headers)


async def reported(live: LiveServer, slug: str, headers: dict[str, str], event_id: str = "a") -> Response:
    event = {"id": event_id, "kind": "run", "quantity": 2}
    return await live.http.post(f"/usage/{slug}/events", headers=headers, json={"events": [event]})


def told(*answers: Response) -> list[tuple[int, str | None]]:
    return [(answer.status_code, answer.json().get("errorCode")) for answer in answers]


async def two_tenants(live: LiveServer) -> tuple[Licensed, Licensed]:
    return await licensed(live), await licensed(live)


async def test_a_tenants_session_sees_and_reports_its_own_usage(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, quota=7)
    session = await as_tenant(sanic_client, tenant.tenant_id)

    sent = await reported(sanic_client, tenant.slug, session)
    month = await seen(sanic_client, tenant.slug, session)

    assert sent.json()["accepted"] == 1
    assert (month.json()["tenant"], month.json()["runs"], month.json()["quota"]) == (tenant.slug, 2, 7)


async def test_an_event_is_stored_with_the_device_that_sent_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    device = await activated(sanic_client, tenant)

    await reported(sanic_client, tenant.slug, device.headers, "by a device")
    await reported(sanic_client, tenant.slug, await as_tenant(sanic_client, tenant.tenant_id), "by a session")

    stored = {row.event_id: (row.device_id, row.metadata) for row in await rows(sanic_client, usage_events.select())}
    assert stored == {"by a device": (device.device_id, None), "by a session": (None, None)}


async def test_a_revoked_device_reports_nothing(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await revoke_device(sanic_client.ctx, device.tenant.slug, device.device_id)

    answer = await reported(sanic_client, device.tenant.slug, device.headers)

    assert told(answer) == [(401, "device_revoked")]
    assert await rows(sanic_client, usage_events.select()) == []


async def test_events_of_a_device_cost_one_statement_and_two_more_where_some_are_not_new(
    sanic_client: LiveServer,
) -> None:
    device = await activated(sanic_client)
    asked = []
    for _ in range(2):
        with counted_statements(sanic_client.runtime.db) as statements:
            await reported(sanic_client, device.tenant.slug, device.headers)
        asked.append(len(statements))

    # Whether the device may ask, and what is stored under the id.
    assert asked == [1, 3]


async def test_a_request_waits_with_the_weight_of_the_events_that_it_would_store(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client)
    weights: list[int] = []
    original = Coalescer.ask

    async def weighed(waiting: Coalescer[Any, Any], item: Any, weight: int = 1) -> Any:
        weights.append(weight)
        return await original(waiting, item, weight)

    monkeypatch.setattr(Coalescer, "ask", weighed)
    ancient = run_event("ancient", at="2001-01-01T00:00:00Z")
    await report(sanic_client, device, *(run_event(f"{number}") for number in range(7)), ancient)

    assert weights[0] == 7


async def test_without_a_subscription_the_month_has_no_quota_and_no_plan(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, state=None)
    session = await as_tenant(sanic_client, tenant.tenant_id)

    month = (await seen(sanic_client, tenant.slug, session)).json()

    assert (month["runs"], month["quota"], month["plan"]) == (0, 0, None)


async def test_a_tenants_session_sees_no_other_tenant_whether_there_is_one_or_not(sanic_client: LiveServer) -> None:
    mine, other = await two_tenants(sanic_client)
    session = await as_tenant(sanic_client, mine.tenant_id)

    answers = [await call(sanic_client, slug, session) for slug in (other.slug, "nobody") for call in (seen, reported)]

    assert told(*answers) == [(403, "tenant_mismatch")] * 4


async def test_an_operator_sees_every_tenant_and_is_told_of_one_that_is_not_there(sanic_client: LiveServer) -> None:
    first, second = await two_tenants(sanic_client)
    for headers in (await as_operator(sanic_client, "operator"), await operator_cookie(sanic_client, "operator")):
        answers = [
            await call(sanic_client, tenant.slug, headers) for tenant in (first, second) for call in (seen, reported)
        ]

        assert told(*answers) == [(200, None)] * 4
        nobodys = await seen(sanic_client, "nobody", headers)
        assert told(nobodys) == [(404, "tenant_not_found")]
        assert "the slug nobody" in nobodys.json()["detail"]


async def test_who_may_only_read_reports_nothing(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    for headers in (
        await as_operator(sanic_client, "read_only"),
        await operator_cookie(sanic_client, "read_only"),
    ):
        month, sent = (
            await seen(sanic_client, tenant.slug, headers),
            await reported(sanic_client, tenant.slug, headers),
        )

        assert told(month, sent) == [(200, None), (403, "permission_missing")]
        assert sent.json()["permission"] == "usage:write"
        assert (await seen(sanic_client, tenant.slug, headers)).json()["runs"] == 0


async def test_what_is_shown_first_decides_who_asks(sanic_client: LiveServer) -> None:
    """A session's header wins over a token and a cookie, and a wrong one is not made good by them."""
    mine, other = await two_tenants(sanic_client)
    device = await activated(sanic_client, other)
    session = await as_tenant(sanic_client, mine.tenant_id)
    owner = await as_operator(sanic_client, "owner")

    answers = [
        await seen(sanic_client, other.slug, {**device.headers, **session}),
        await seen(sanic_client, other.slug, {**owner, "x-session-token": "wrong"}),
    ]

    assert told(*answers) == [(403, "tenant_mismatch"), (401, "session_invalid")]
