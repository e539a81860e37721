"""Activations, refreshes and usage that share statements: whoever stands beside gets what he would get alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from support.builders import Activated, Licensed, activated, licensed, subscribe
from support.live import LiveServer
from support.rows import row_counts, rows
from support.statements import counted_statements

from app.access.keys import fingerprint_hash
from app.context import VISITOR, Context
from app.services.licensing import code_text, refresh
from app.services.licensing.codes import generate_codes
from app.services.licensing.devices import revoke_device
from app.services.licensing.enrollment import (
    ENROLLMENTS,
    ActivationRequest,
    Enrollment,
    GuardRefusedError,
    PendingActivation,
)
from app.services.licensing.refresh import REFRESHES, RefreshOutcome, RefreshRequest
from app.services.licensing.token_pairs import read_refresh_token
from app.services.usage.metering import INGESTS, Batch
from sql.tables import activation_codes, devices, platform_events, subscriptions, usage_events


def pending_activation(
    live: LiveServer, tenant: Licensed, hardware: str, code: str | None = None, slug: str = ""
) -> PendingActivation:
    normalized = code_text.normalize(code or tenant.codes[0])
    assert normalized
    request = ActivationRequest(
        slug or tenant.slug, live.runtime.keys.code_hash(normalized), fingerprint_hash(hardware)
    )
    return PendingActivation(Context(live.runtime, VISITOR, f"request-{hardware}"), request)


async def enroll(live: LiveServer, *pending: PendingActivation) -> list[Enrollment | None]:
    return list(await ENROLLMENTS.run(live.runtime, pending))


async def renew(live: LiveServer, *requests: RefreshRequest) -> list[RefreshOutcome]:
    return list(await REFRESHES.run(live.runtime, requests))


def refresh_request(
    live: LiveServer, device: Activated, slug: str = "", device_id: int = 0, token: str = ""
) -> RefreshRequest:
    read = read_refresh_token(live.runtime.keys, token or device.refresh_token)
    assert read
    return RefreshRequest(slug or device.tenant.slug, device_id or device.device_id, read)


async def test_twenty_tenants_activate_with_five_statements(sanic_client: LiveServer) -> None:
    tenants = [await licensed(sanic_client, max_devices=1) for _ in range(20)]
    pending = [pending_activation(sanic_client, tenant, "hardware") for tenant in tenants]

    with counted_statements(sanic_client.runtime.db) as statements:
        enrolled = await enroll(sanic_client, *pending)

    assert len(statements) == 5
    assert [enrollment.tenant_id for enrollment in enrolled if enrollment] == [tenant.tenant_id for tenant in tenants]
    assert [tuple(row) for row in await rows(sanic_client, select(activation_codes.c.use_count))] == [(1,)] * 20
    assert [tuple(row) for row in await rows(sanic_client, select(subscriptions.c.seats_used))] == [(1,)] * 20
    stored = await rows(sanic_client, select(devices.c.id, devices.c.tenant_id).order_by(devices.c.id))
    assert {(a.device_id, a.tenant_id) for a in enrolled if a} == {tuple(row) for row in stored}
    told = await rows(
        sanic_client, select(platform_events.c.request_id).where(platform_events.c.event_type == "device_enrolled")
    )
    assert [row.request_id for row in told] == ["request-hardware"] * 20


async def test_who_is_refused_does_not_keep_neighbours_out(sanic_client: LiveServer) -> None:
    good, full, known, scarce, unpaid = [
        await licensed(sanic_client, max_uses=uses, max_devices=most)
        for uses, most in ((2, None), (5, 0), (5, None), (1, None), (5, None))
    ]
    await subscribe(sanic_client, unpaid, "unpaid")
    await activated(sanic_client, known, "known")

    enrolled = await enroll(
        sanic_client,
        pending_activation(sanic_client, good, "first"),
        pending_activation(sanic_client, full, "no-room"),
        pending_activation(sanic_client, known, "known"),
        pending_activation(sanic_client, scarce, "one"),
        pending_activation(sanic_client, scarce, "two"),
        pending_activation(sanic_client, unpaid, "unpaid"),
        pending_activation(sanic_client, good, "nobody", code_text.new_code()),
        pending_activation(sanic_client, good, "thief", good.codes[0], slug=full.slug),
        pending_activation(sanic_client, good, "nowhere", slug="no-such-tenant"),
        pending_activation(sanic_client, good, "second"),
    )

    assert [enrollment and enrollment.tenant_id for enrollment in enrolled] == [
        good.tenant_id, None, None, None, None, None, None, None, None, good.tenant_id,
    ]  # fmt: skip
    used = await rows(
        sanic_client, select(activation_codes.c.tenant_id, activation_codes.c.use_count).order_by(activation_codes.c.id)
    )
    assert [tuple(row) for row in used] == [
        (good.tenant_id, 2), (full.tenant_id, 0), (known.tenant_id, 1), (scarce.tenant_id, 0), (unpaid.tenant_id, 0),
    ]  # fmt: skip


async def test_the_same_hardware_twice_is_admitted_once(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=9)
    twice = [pending_activation(sanic_client, tenant, "hardware") for _ in range(2)]

    first, second = await enroll(sanic_client, *twice)

    assert first is not None
    assert second is None


async def test_the_last_seat_for_two_codes_admits_nobody_and_changes_nothing(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_devices=1)
    (other,) = await generate_codes(sanic_client.ctx, tenant.slug)
    before = await row_counts(sanic_client)

    with pytest.raises(GuardRefusedError):
        await enroll(
            sanic_client,
            pending_activation(sanic_client, tenant, "one"),
            pending_activation(sanic_client, tenant, "two", other),
        )

    assert await row_counts(sanic_client) == before
    assert {tuple(row) for row in await rows(sanic_client, select(activation_codes.c.use_count))} == {(0,)}
    alone = await enroll(sanic_client, pending_activation(sanic_client, tenant, "one"))
    assert alone[0] is not None


async def test_twenty_devices_refresh_with_two_statements(sanic_client: LiveServer) -> None:
    held = [await activated(sanic_client) for _ in range(20)]

    with counted_statements(sanic_client.runtime.db) as statements:
        renewed = await renew(sanic_client, *(refresh_request(sanic_client, device) for device in held))

    assert len(statements) == 2
    assert all(renewal.token for renewal in renewed)
    again = await renew(
        sanic_client,
        *(
            refresh_request(sanic_client, device, token=renewal.token.text)
            for device, renewal in zip(held, renewed, strict=True)
            if renewal.token
        ),
    )
    assert len({renewal.token for renewal in again if renewal.token}) == 20


async def test_a_token_counts_only_for_its_own_device_and_tenant(sanic_client: LiveServer) -> None:
    mine, theirs = await activated(sanic_client), await activated(sanic_client)

    foreign_tenant, foreign_device, nowhere, used, own = await renew(
        sanic_client,
        refresh_request(sanic_client, mine, slug=theirs.tenant.slug),
        refresh_request(sanic_client, mine, device_id=theirs.device_id),
        refresh_request(sanic_client, mine, slug="no-such-tenant"),
        refresh_request(sanic_client, theirs),
        refresh_request(sanic_client, mine),
    )

    assert foreign_tenant.verdict.code == foreign_device.verdict.code == "refresh_token_invalid"
    assert nowhere.situation is None
    assert used.token
    assert own.token


async def test_of_two_that_show_one_token_both_have_the_next(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    first, second = await renew(
        sanic_client, refresh_request(sanic_client, device), refresh_request(sanic_client, device)
    )

    assert first.token
    assert second.token == first.token
    assert second.verdict.allowed


async def test_whoever_another_worker_has_overtaken_gets_the_same_successor(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    shown = refresh_request(sanic_client, device)
    (other,) = await renew(sanic_client, shown)
    look = refresh._look
    stale = await look(sanic_client.runtime, [shown])
    before = {
        key: replace(each, token_hash=sanic_client.runtime.keys.refresh_token_hash(shown.token.text), rotated_at=None)
        for key, each in stale.items()
    }
    looks = iter([before, None])

    async def as_it_was(*arguments: Any) -> Any:
        return next(looks) or await look(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh, "_look", as_it_was)
        (late,) = await renew(sanic_client, shown)

    assert other.token is not None
    assert late.token == other.token


def brought(live: LiveServer, device: Activated, *event_ids: str, slug: str = "") -> Batch:
    now = live.ctx.now()
    rows = [
        {
            "event_id": event_id,
            "kind": "run",
            "quantity": 1,
            "at": now,
            "day": now.date(),
            "metadata": None,
        }
        for event_id in event_ids
    ]
    return Batch(device.tenant.tenant_id, slug or device.tenant.slug, device.device_id, now, rows)


async def test_events_of_many_devices_are_one_statement_and_each_learns_of_its_own(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=9)
    first, second, revoked = [await activated(sanic_client, tenant, name) for name in ("first", "second", "revoked")]
    stranger = await activated(sanic_client)
    await revoke_device(sanic_client.ctx, tenant.slug, revoked.device_id)

    with counted_statements(sanic_client.runtime.db) as statements:
        stored = await INGESTS.run(
            sanic_client.runtime,
            [
                brought(sanic_client, revoked, "a", "only-revoked"),
                brought(sanic_client, first, "a", "b", "b"),
                brought(sanic_client, second, "b", "c"),
                brought(sanic_client, stranger, "d", slug=tenant.slug),
                brought(sanic_client, stranger, "a"),
                brought(sanic_client, first, "a", "e"),
            ],
        )

    assert len(statements) == 1
    new = [each.new_ids for each in stored]
    assert new[0] == new[3] == set()
    assert new[4] == {"a"}
    # Which of two devices is the first with an id is the database's choice; it is one of them.
    assert sorted([*new[1], *new[2]]) == ["a", "b", "c"]
    assert new[1] >= {"a"}
    assert new[2] >= {"c"}
    assert new[5] == {"e"}
    kept = await rows(
        sanic_client, select(usage_events.c.tenant_id, usage_events.c.event_id).order_by(usage_events.c.event_id)
    )
    assert sorted(tuple(row) for row in kept) == sorted(
        [(tenant.tenant_id, event_id) for event_id in "abce"] + [(stranger.tenant.tenant_id, "a")]
    )
