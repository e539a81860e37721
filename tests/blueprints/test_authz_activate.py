"""Activation: a code binds a device, all of it or nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from support.builders import Licensed, activate, activated, licensed, subscribe
from support.clocks import MovableClock
from support.licensing import seats, uses
from support.live import LiveServer
from support.refusals import Findings
from support.rows import row_counts, rows, told
from support.statements import counted_statements

from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import revoke_code
from app.services.licensing.device_list import list_devices
from app.services.licensing.devices import revoke_device
from sql.tables import activation_codes, devices

INACTIVE = ("past_due", "canceled", "unpaid", "suspended")


async def test_a_code_binds_a_device_and_hands_out_a_pair_of_tokens(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)

    answer = await activate(sanic_client, tenant)

    pair = answer.json()
    assert answer.status_code == 200
    assert (pair.pop("token_type"), pair.pop("expires_in")) == ("Bearer", 900)
    (device,) = (await list_devices(sanic_client.ctx, tenant_slug=tenant.slug)).rows
    assert pair.pop("device_id") == device.id
    assert pair.keys() == {"access_token", "refresh_token"}
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([1], 1)


async def test_a_code_is_read_as_a_person_types_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    code = tenant.codes[0]
    typed = [
        code.lower(),
        code.replace("-", ""),
        code.replace("-", " "),
        f"  {code[:7]} {code[7:].lower()}\t",
        code.replace("-", "\u2013"),
    ]

    answers = [await activate(sanic_client, tenant, code=text) for text in typed]

    assert [answer.status_code for answer in answers] == [200] * len(typed)


async def no_such_tenant(live: LiveServer, clock: MovableClock) -> Licensed:
    known = await licensed(live)
    return Licensed("nobody", 0, known.plan, known.codes)


async def code_of_another_tenant(live: LiveServer, clock: MovableClock) -> Licensed:
    mine, other = await licensed(live), await licensed(live)
    return Licensed(mine.slug, mine.tenant_id, mine.plan, other.codes)


async def not_a_code_at_all(live: LiveServer, clock: MovableClock) -> Licensed:
    tenant = await licensed(live)
    return Licensed(tenant.slug, tenant.tenant_id, tenant.plan, ["0000-1111"])


async def revoked_code(live: LiveServer, clock: MovableClock) -> Licensed:
    tenant = await licensed(live)
    await revoke_code(live.ctx, tenant.slug, code=tenant.codes[0])
    return tenant


async def expired_code(live: LiveServer, clock: MovableClock) -> Licensed:
    tenant = await licensed(live, ttl_days=1)
    clock.move(days=1, seconds=1)
    return tenant


async def used_up_code(live: LiveServer, clock: MovableClock) -> Licensed:
    tenant = await licensed(live)
    await activated(live, tenant, "another-hardware")
    return tenant


async def no_subscription(live: LiveServer, clock: MovableClock) -> Licensed:
    return await licensed(live, state=None)


async def revoked_device(live: LiveServer, clock: MovableClock) -> Licensed:
    tenant = await licensed(live, max_uses=5)
    device = await activated(live, tenant)
    await revoke_device(live.ctx, tenant.slug, device.device_id)
    return tenant


async def no_seat_left(live: LiveServer, clock: MovableClock) -> Licensed:
    tenant = await licensed(live, max_uses=5, max_devices=1)
    await activated(live, tenant, "another-hardware")
    return tenant


DENIALS: list[tuple[Callable[[LiveServer, MovableClock], Awaitable[Licensed]], int, str]] = [
    (no_such_tenant, 404, "tenant_not_found"),
    (code_of_another_tenant, 400, "activation_code_invalid"),
    (not_a_code_at_all, 400, "activation_code_invalid"),
    (revoked_code, 400, "activation_code_revoked"),
    (expired_code, 400, "activation_code_expired"),
    (used_up_code, 400, "activation_code_used_up"),
    (no_subscription, 403, "subscription_missing"),
    (revoked_device, 403, "device_revoked"),
    (no_seat_left, 403, "device_limit_reached"),
]


async def test_a_denial_says_what_would_free_the_device_and_leaves_nothing_behind(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    findings = Findings()
    for arrange, status, code in DENIALS:
        tenant = await arrange(sanic_client, clock)
        before = await row_counts(sanic_client), await rows(sanic_client, activation_codes.select())

        answer = await activate(sanic_client, tenant)

        problem = answer.json()
        after = await row_counts(sanic_client), await rows(sanic_client, activation_codes.select())
        is_whole = problem.get("detail") == f"{problem.get('message')} {problem.get('remedy')}"
        found = (answer.status_code, problem.get("status"), problem.get("errorCode"))
        findings.add(
            arrange.__name__,
            (found, bool(problem.get("remedy")), is_whole, after == before),
            ((status, status, code), True, True, True),
        )

    assert findings.found == findings.expected


async def test_an_inactive_subscription_activates_nothing(sanic_client: LiveServer) -> None:
    tenants = [await licensed(sanic_client, state=state) for state in INACTIVE]
    before = await row_counts(sanic_client)

    problems = [(await activate(sanic_client, tenant)).json() for tenant in tenants]

    assert [(problem["status"], problem["errorCode"], problem["state"]) for problem in problems] == [
        (403, "subscription_inactive", state) for state in INACTIVE
    ]
    assert await row_counts(sanic_client) == before


async def test_a_trial_activates(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, state="trialing")

    answer = await activate(sanic_client, tenant)

    assert answer.status_code == 200


async def test_what_is_asked_first_is_told_first(sanic_client: LiveServer, clock: MovableClock) -> None:
    """Each remedy taken brings the next denial to light: code, device, subscription, expiry, uses, seats."""
    live = sanic_client
    tenant = await licensed(live, codes=6, max_devices=1, ttl_days=1, state="active")
    wrong, revoked, _, used, full, later = tenant.codes
    device = await activated(live, tenant, "to-be-revoked", used)
    await revoke_device(live.ctx, tenant.slug, device.device_id)
    await revoke_code(live.ctx, tenant.slug, code=revoked)
    await subscribe(live, tenant, "unpaid")
    told_in_order = []

    async def attempt(hardware: str, code: str) -> None:
        told_in_order.append((await activate(live, tenant, hardware, code)).json().get("errorCode"))

    await attempt("to-be-revoked", wrong[:-1] + ("A" if wrong[-1] != "A" else "B"))
    await attempt("to-be-revoked", revoked)
    await attempt("to-be-revoked", used)
    await attempt("hardware-2", used)
    await subscribe(live, tenant, "active")
    await attempt("hardware-2", used)
    await activated(live, tenant, "hardware-3", full)
    await attempt("hardware-2", later)
    clock.move(days=2)
    await attempt("hardware-2", used)

    assert told_in_order == [
        "activation_code_invalid",
        "activation_code_revoked",
        "device_revoked",
        "subscription_inactive",
        "activation_code_used_up",
        "device_limit_reached",
        "activation_code_expired",
    ]


async def test_a_revoked_device_frees_its_seat_for_another(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=5, max_devices=1)
    device = await activated(sanic_client, tenant)
    await revoke_device(sanic_client.ctx, tenant.slug, device.device_id)

    answer = await activate(sanic_client, tenant, "hardware-2")

    assert answer.status_code == 200
    assert await seats(sanic_client, tenant) == 1


async def test_revoking_a_device_twice_frees_one_seat(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=5)
    device = await activated(sanic_client, tenant)
    await activated(sanic_client, tenant, "hardware-2")

    freed = [await revoke_device(sanic_client.ctx, tenant.slug, device.device_id) for _ in range(2)]

    assert freed == [True, False]
    assert await seats(sanic_client, tenant) == 1


async def test_a_smaller_plan_keeps_the_devices_it_has_and_admits_no_other(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=9, max_devices=9)
    smaller = await licensed(sanic_client, max_devices=1)
    for number in range(3):
        await activated(sanic_client, tenant, f"hardware-{number}")
    await link_subscription(sanic_client.ctx, tenant_slug=tenant.slug, plan_name=smaller.plan)

    known = await activate(sanic_client, tenant, "hardware-2")
    another = await activate(sanic_client, tenant, "hardware-9")

    assert known.status_code == 200
    assert (another.status_code, another.json()["errorCode"]) == (403, "device_limit_reached")


async def test_the_same_hardware_is_another_device_for_another_tenant(sanic_client: LiveServer) -> None:
    first = await activated(sanic_client, await licensed(sanic_client))

    second = await activated(sanic_client, await licensed(sanic_client))

    assert first.device_id != second.device_id


async def test_parallel_activations_take_exactly_the_seats_there_are(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=100, max_devices=5)

    answers = await asyncio.gather(*(activate(sanic_client, tenant, f"hardware-{n}") for n in range(40)))

    outcomes = Counter(answer.json().get("errorCode", "activated") for answer in answers)
    assert outcomes == {"activated": 5, "device_limit_reached": 35}
    assert len((await list_devices(sanic_client.ctx, tenant_slug=tenant.slug)).rows) == 5
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([5], 5)


async def test_parallel_activations_take_exactly_the_uses_there_are(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=3)

    answers = await asyncio.gather(*(activate(sanic_client, tenant, f"hardware-{n}") for n in range(40)))

    outcomes = Counter(answer.json().get("errorCode", "activated") for answer in answers)
    assert outcomes == {"activated": 3, "activation_code_used_up": 37}
    assert len((await list_devices(sanic_client.ctx, tenant_slug=tenant.slug)).rows) == 3
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([3], 3)


async def test_one_device_that_activates_many_times_at_once_uses_its_code_once(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)

    answers = await asyncio.gather(*(activate(sanic_client, tenant) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["device_id"] for answer in answers}) == 1
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([1], 1)


async def test_devices_that_rebind_while_they_are_revoked_meet_no_fault(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=20, max_uses=2)
    bound = [await activated(sanic_client, tenant, f"hardware-{n}", tenant.codes[n]) for n in range(10)]

    answers = await asyncio.gather(
        *(activate(sanic_client, tenant, bound[n // 2].hw_fingerprint, tenant.codes[19 - n]) for n in range(20)),
        *(revoke_device(sanic_client.ctx, tenant.slug, device.device_id) for device in bound),
    )

    assert {answer.status_code for answer in answers[:20]} <= {200, 400, 403}
    assert answers[20:] == [True] * 10
    assert await seats(sanic_client, tenant) == 0


async def test_a_first_activation_asks_five_statements(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2, max_devices=9)
    await activated(sanic_client, tenant, "warm", tenant.codes[1])

    with counted_statements(sanic_client.runtime.db) as statements:
        await activated(sanic_client, tenant)

    assert len(statements) == 5


async def test_a_repeated_activation_asks_six_statements(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    with counted_statements(sanic_client.runtime.db) as statements:
        await activated(sanic_client, device.tenant)

    # The sixth ends the tokens of before.
    assert len(statements) == 6


async def test_activations_are_told_in_the_audit_trail(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2)
    before = len(await told(sanic_client, tenant.tenant_id))
    device = await activated(sanic_client, tenant)
    await activated(sanic_client, tenant)
    await activated(sanic_client, tenant, code=tenant.codes[1])

    new = (await told(sanic_client, tenant.tenant_id))[before:]

    assert [event.event_type for event in new] == [
        "code_activated",
        "device_enrolled",
        "device_reactivated",
        "code_activated",
    ]
    assert {event.device_id for event in new} == {device.device_id}
    assert all(event.code_id and event.request_id for event in new)
    assert {(event.actor_type, event.actor_name) for event in new} == {("device", f"device {device.device_id}")}


async def test_no_secret_is_stored_in_clear(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    secrets = {device.tenant.codes[0], device.tenant.codes[0].replace("-", ""), device.refresh_token}

    stored = [
        str(row)
        for table in ("activation_codes", "devices", "refresh_families", "platform_events", "signing_keys")
        for row in await rows(sanic_client, activation_codes.metadata.tables[table].select())
    ]

    assert stored
    assert not [row for row in stored for secret in secrets if secret in row]
    (kept,) = await rows(sanic_client, devices.select())
    assert kept.hw_fingerprint != device.hw_fingerprint
