"""What a subscription allows, by its state and the moments until which a grace and a trial go on."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from support.admin import as_operator, as_tenant
from support.builders import Activated, Licensed, activate, activated, licensed, refresh
from support.clocks import StandingClock
from support.live import LiveServer, live_server
from support.projects import create
from support.rows import change, rows

from app.services.billing.allowance import Standing, may
from app.settings import Settings
from sql.statements.billing import is_licensed
from sql.tables import plans, subscriptions, tenants
from sql.tables.billing import SUBSCRIPTION_STATES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENTS = (None, NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1))
STANDINGS = [Standing(*each) for each in itertools.product(SUBSCRIPTION_STATES, MOMENTS, MOMENTS)]


@pytest.mark.parametrize(
    ("standing", "code"),
    [
        (Standing("active", NOW, NOW), None),
        (Standing("trialing"), None),
        (Standing("trialing", trial_ends_at=NOW + timedelta(seconds=1)), None),
        (Standing("trialing", trial_ends_at=NOW), "trial_ended"),
        (Standing("past_due", grace_until=NOW + timedelta(seconds=1)), None),
        (Standing("past_due", grace_until=NOW), "payment_overdue"),
        (Standing("past_due"), "subscription_inactive"),
        # Only the state that they belong to asks for them.
        (Standing("unpaid", grace_until=NOW + timedelta(days=1)), "subscription_inactive"),
        (Standing("canceled", trial_ends_at=NOW + timedelta(days=1)), "subscription_inactive"),
        (Standing("suspended", NOW + timedelta(days=1), NOW + timedelta(days=1)), "subscription_inactive"),
        (Standing(None), "subscription_missing"),
    ],
)
def test_a_refusal_says_what_has_ended(standing: Standing, code: str | None) -> None:
    actions: tuple[Any, ...] = ("activate_device", "refresh_token", "create_project", "run_project")

    assert {may(action, standing, NOW).code for action in actions} == {code}


async def test_the_database_guards_what_the_rule_says(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, state=None)
    ((plan_id,),) = await rows(sanic_client, select(plans.c.id).where(plans.c.name == tenant.plan))
    made = {"created_at": NOW, "updated_at": NOW}
    row = {"plan_id": plan_id, "seats_used": 0, **made}
    who = [{"slug": f"t{number}", "name": f"t{number}", **made} for number in range(len(STANDINGS))]
    await change(sanic_client, insert(tenants).values(who))
    ids = {row.slug: row.id for row in await rows(sanic_client, select(tenants.c.slug, tenants.c.id))}
    held = {ids[f"t{number}"]: standing for number, standing in enumerate(STANDINGS)}
    values = [{"tenant_id": tenant_id, **row, **standing._asdict()} for tenant_id, standing in held.items()]
    await change(sanic_client, insert(subscriptions).values(values))

    guarded = await rows(sanic_client, select(subscriptions.c.tenant_id).where(is_licensed), billing_now=NOW)

    allowed = {tenant_id for tenant_id, standing in held.items() if may("activate_device", standing, NOW).allowed}
    assert {tenant_id for (tenant_id,) in guarded} == allowed
    assert 0 < len(allowed) < len(STANDINGS)


async def attempts(
    live: LiveServer, tenant: Licensed, device: Activated, hardware: str
) -> list[tuple[int, str | None]]:
    """What somebody is answered who uses what a subscription allows, each in turn: status and error code."""
    answers = [
        await activate(live, tenant, hardware),
        await activate(live, tenant, device.hw_fingerprint),
        await refresh(live, device),
        await create(live, await as_tenant(live, tenant.tenant_id)),
    ]
    return [
        (answer.status_code, answer.json().get("errorCode") if answer.status_code >= 400 else None)
        for answer in answers
    ]


async def test_what_is_allowed_ends_at_the_moment(settings: Settings) -> None:
    clock = StandingClock()
    async with live_server(settings, clock) as live:
        ends_at = clock.now() + timedelta(days=7)
        kinds: tuple[dict[str, Any], ...] = (
            {"state": "past_due", "grace_until": ends_at},
            {"state": "trialing", "trial_ends_at": ends_at},
        )
        for standing, code in zip(kinds, ("payment_overdue", "trial_ended"), strict=True):
            tenant = await licensed(live, max_uses=9)
            device = await activated(live, tenant)
            of_tenant = subscriptions.c.tenant_id == tenant.tenant_id
            await change(live, update(subscriptions).where(of_tenant).values(**standing))
            before = await attempts(live, tenant, device, "hardware-2")
            # The refresh above has used its token up.
            device = await activated(live, tenant)
            await change(live, update(subscriptions).where(of_tenant).values({**standing, **_ended(standing, clock)}))
            after = await attempts(live, tenant, device, "hardware-3")
            ((seats,),) = await rows(live, select(subscriptions.c.seats_used).where(of_tenant))

            assert [status for status, _ in before] == [200, 200, 200, 201]
            assert after == [(403, code)] * 4
            assert seats == 2


def _ended(standing: dict[str, Any], clock: StandingClock) -> dict[str, Any]:
    """The same standing, with an end that is now."""
    return {key: clock.now() for key in standing if key != "state"}


async def test_operators_see_why_a_project_cannot_be_run_by_then(settings: Settings) -> None:
    clock = StandingClock()
    async with live_server(settings, clock) as live:
        tenant = await licensed(live)
        created = await create(live, await as_tenant(live, tenant.tenant_id))
        path = f"/api/llm/projects/{created.json()['projectId']}"
        of_tenant = subscriptions.c.tenant_id == tenant.tenant_id
        seen = []
        for ends_in in (1, 0):
            values = {"state": "past_due", "grace_until": clock.now() + timedelta(days=ends_in)}
            await change(live, update(subscriptions).where(of_tenant).values(**values))
            answer = await live.http.get(path, headers=await as_operator(live))
            seen.append(answer.json()["runDenial"]["errorCode"])

        assert seen == ["project_without_code", "payment_overdue"]
