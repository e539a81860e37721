"""Refresh: a token buys the next pair once; shown twice, it closes its family."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr
from support.builders import activated, licensed, refresh, subscribe
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import row_counts, rows, told

from app.access.keys import Keys
from app.errors import DatabaseUnavailableError
from app.services.licensing.devices import revoke_device
from app.services.licensing.token_pairs import new_refresh_token, next_refresh_token, read_refresh_token
from blueprints.web import idempotency
from sql.tables import refresh_families


async def test_a_refresh_token_buys_a_new_pair_that_works(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answer = await refresh(sanic_client, device)

    pair = answer.json()
    assert (answer.status_code, pair["token_type"], pair["expires_in"]) == (200, "Bearer", 900)
    assert pair["device_id"] == device.device_id
    assert pair["refresh_token"] != device.refresh_token
    headers = {"authorization": f"Bearer {pair['access_token']}"}
    assert (await sanic_client.http.get("/licenses/policy", headers=headers)).status_code == 200


async def test_a_chain_of_refreshes_stays_one_family(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    token = device.refresh_token

    for _ in range(5):
        token = (await refresh(sanic_client, device, refresh_token=token)).json()["refresh_token"]

    assert len(await rows(sanic_client, refresh_families.select())) == 1
    assert (await refresh(sanic_client, device, refresh_token=token)).status_code == 200


async def test_the_query_form_works_too(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    query = {
        "tenant_slug": device.tenant.slug,
        "device_id": device.device_id,
        "refresh_token": device.refresh_token,
    }

    answer = await sanic_client.http.post("/authz/refresh", params=query)

    assert answer.status_code == 200
    assert answer.json()["refresh_token"] != device.refresh_token


async def test_the_query_form_names_its_wrong_fields(sanic_client: LiveServer) -> None:
    answer = await sanic_client.http.post("/authz/refresh", params={"tenant_slug": "acme", "device_id": "many"})

    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["query", "device_id"], ["query", "refresh_token"]]


async def test_a_lost_answer_is_given_again_while_its_successor_was_not_used(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    device = await activated(sanic_client)
    lost = await refresh(sanic_client, device)
    clock.move(seconds=59)

    again = await refresh(sanic_client, device)
    onward = await refresh(sanic_client, device, refresh_token=again.json()["refresh_token"])

    assert (again.status_code, onward.status_code) == (200, 200)
    assert again.json()["refresh_token"] == lost.json()["refresh_token"]
    headers = {"authorization": f"Bearer {again.json()['access_token']}"}
    assert (await sanic_client.http.get("/licenses/policy", headers=headers)).status_code == 200


@pytest.mark.parametrize("waited", [60, 86_400])
async def test_after_the_grace_a_used_token_closes_its_family(
    sanic_client: LiveServer, clock: MovableClock, waited: int
) -> None:
    device = await activated(sanic_client)
    newer = (await refresh(sanic_client, device)).json()["refresh_token"]
    clock.move(seconds=waited)

    again = await refresh(sanic_client, device)
    after = await refresh(sanic_client, device, refresh_token=newer)

    assert (again.status_code, again.json()["errorCode"]) == (401, "refresh_token_reused")
    assert (after.status_code, after.json()["errorCode"]) == (401, "refresh_token_invalid")
    event = (await told(sanic_client, device.tenant.tenant_id))[-1]
    assert (event.event_type, event.device_id) == ("refresh_token_reused", device.device_id)
    assert (event.actor_type, event.actor_name) == ("device", f"device {device.device_id}")


async def test_a_thief_who_comes_after_the_successor_was_used_ends_the_family(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    second = (await refresh(sanic_client, device)).json()["refresh_token"]
    third = (await refresh(sanic_client, device, refresh_token=second)).json()["refresh_token"]

    thief = await refresh(sanic_client, device)
    after = await refresh(sanic_client, device, refresh_token=third)

    assert (thief.status_code, thief.json()["errorCode"]) == (401, "refresh_token_reused")
    assert (after.status_code, after.json()["errorCode"]) == (401, "refresh_token_invalid")


async def test_no_token_is_stored_in_clear_and_no_successor_is_known_without_the_secret_key(
    sanic_client: LiveServer,
) -> None:
    device = await activated(sanic_client)
    successor = (await refresh(sanic_client, device)).json()["refresh_token"]
    settings = sanic_client.runtime.settings
    foreign = Keys(settings.model_copy(update={"secret_key": SecretStr("another-secret" * 4)}))
    shown = read_refresh_token(sanic_client.runtime.keys, device.refresh_token)
    assert shown is not None

    (family,) = await rows(sanic_client, refresh_families.select())

    stored = " ".join(map(repr, family))
    assert not any(part in stored for token in (device.refresh_token, successor) for part in token.split(".")[1:])
    assert next_refresh_token(sanic_client.runtime.keys, shown).text == successor
    assert next_refresh_token(foreign, shown).text != successor


async def test_a_refresh_takes_an_idempotency_key(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    body = {
        "tenant_slug": device.tenant.slug,
        "device_id": device.device_id,
        "refresh_token": device.refresh_token,
    }
    send = partial(sanic_client.http.post, "/authz/refresh", json=body, headers={"idempotency-key": "one"})

    first = await send()
    clock.move(seconds=600)
    again = await send()

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert not [event for event in await told(sanic_client) if event.event_type == "refresh_token_reused"]


async def test_a_key_whose_first_request_has_no_answer_keeps_nobody_waiting(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await activated(sanic_client)
    key = {"idempotency-key": "one"}
    body = {
        "tenant_slug": device.tenant.slug,
        "device_id": device.device_id,
        "refresh_token": device.refresh_token,
    }

    async def dies(*arguments: Any) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr(idempotency, "settle", dies)
    lost = await sanic_client.http.post("/authz/refresh", json=body, headers=key)
    monkeypatch.undo()

    again = await sanic_client.http.post("/authz/refresh", json=body, headers=key)

    assert (lost.status_code, again.status_code) == (200, 200)
    assert again.json()["refresh_token"] == lost.json()["refresh_token"]


async def test_a_closed_family_leaves_the_device_its_way_back(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    await refresh(sanic_client, device)
    clock.move(seconds=61)
    await refresh(sanic_client, device)

    back = await activated(sanic_client, device.tenant)

    assert back.device_id == device.device_id
    assert (await refresh(sanic_client, back)).status_code == 200


async def test_fifty_refreshes_at_once_get_one_successor(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answers = await asyncio.gather(*(refresh(sanic_client, device) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {200}
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    assert (await refresh(sanic_client, device, refresh_token=successor)).status_code == 200


async def test_a_refresh_token_lives_fourteen_days(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    clock.move(days=13, hours=23)
    renewed = (await refresh(sanic_client, device)).json()["refresh_token"]
    clock.move(days=14, seconds=1)

    answer = await refresh(sanic_client, device, refresh_token=renewed)

    assert (answer.status_code, answer.json()["errorCode"]) == (401, "refresh_token_expired")


async def test_an_inactive_subscription_renews_nothing_and_keeps_the_token(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    refused = []
    for state in ("past_due", "canceled", "unpaid", "suspended"):
        await subscribe(sanic_client, device.tenant, state)
        refused.append(await refresh(sanic_client, device))

    await subscribe(sanic_client, device.tenant, "trialing")
    renewed = await refresh(sanic_client, device)

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in refused] == [
        (403, "subscription_inactive")
    ] * 4
    assert renewed.status_code == 200


async def test_an_unknown_tenant_is_not_found(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answer = await refresh(sanic_client, device, tenant_slug="nobody")

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "tenant_not_found")
    assert "the slug nobody" in answer.json()["detail"]


async def test_a_token_is_good_for_its_own_tenant_and_device_only(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    sibling = await activated(sanic_client, device.tenant, "hardware-2")
    stranger = await activated(sanic_client, await licensed(sanic_client))

    answers = [
        await refresh(sanic_client, device, tenant_slug=stranger.tenant.slug),
        await refresh(sanic_client, device, device_id=sibling.device_id),
        await refresh(sanic_client, device, device_id=2**63 - 1),
    ]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in answers] == [
        (401, "refresh_token_invalid")
    ] * 3
    assert (await refresh(sanic_client, device)).status_code == 200


async def test_a_token_we_did_not_write_is_refused_and_revokes_nothing(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    family, secret, mark = device.refresh_token.split(".")
    settings = sanic_client.runtime.settings
    foreign = Keys(settings.model_copy(update={"secret_key": SecretStr("another-secret" * 4)}))
    forged = [
        f"{family}.{'A' * len(secret)}.{mark}",
        f"{family}.{secret}.{'A' * len(mark)}",
        "..",
        "x",
        f"{family}.{secret}.é",
        new_refresh_token(foreign, family).text,
    ]

    answers = [await refresh(sanic_client, device, refresh_token=token) for token in forged]

    assert {(answer.status_code, answer.json()["errorCode"]) for answer in answers} == {(401, "refresh_token_invalid")}
    assert (await refresh(sanic_client, device)).status_code == 200


async def test_a_revoked_device_gets_no_new_tokens(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await revoke_device(sanic_client.ctx, device.tenant.slug, device.device_id)

    answer = await refresh(sanic_client, device)

    assert (answer.status_code, answer.json()["errorCode"]) == (401, "device_revoked")


async def test_of_a_revoked_device_no_family_is_left_and_of_its_neighbour_all_are(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await activated(sanic_client, device.tenant)
    neighbour = await activated(sanic_client, device.tenant, "hardware-2")

    await revoke_device(sanic_client.ctx, device.tenant.slug, device.device_id)

    families = await rows(sanic_client, refresh_families.select())
    assert sorted((family.device_id, family.revoked_at is None) for family in families) == [
        (device.device_id, False),
        (device.device_id, False),
        (neighbour.device_id, True),
    ]


async def test_a_stranger_does_not_learn_that_a_device_is_revoked(sanic_client: LiveServer) -> None:
    device, other = await activated(sanic_client), await activated(sanic_client)
    await revoke_device(sanic_client.ctx, device.tenant.slug, device.device_id)

    answers = [
        await sanic_client.http.post(
            "/authz/refresh",
            json={"tenant_slug": device.tenant.slug, "device_id": device.device_id, "refresh_token": shown},
        )
        for shown in ("made.up.token", other.refresh_token)
    ]

    assert [(answer.status_code, answer.json()["errorCode"]) for answer in answers] == [
        (401, "refresh_token_invalid")
    ] * 2


async def test_a_refused_refresh_writes_nothing(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await subscribe(sanic_client, device.tenant, "unpaid")
    before = await row_counts(sanic_client), await rows(sanic_client, refresh_families.select())

    answer = await refresh(sanic_client, device)

    assert (answer.status_code, answer.json()["errorCode"]) == (403, "subscription_inactive")
    assert (await row_counts(sanic_client), await rows(sanic_client, refresh_families.select())) == before
