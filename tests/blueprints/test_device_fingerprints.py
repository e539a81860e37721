"""The same hardware in capitals or with a line end is one device; so is one that was stored as it was sent."""

from __future__ import annotations

import pytest
from httpx2 import Response
from sqlalchemy import select, update
from support.builders import Activated, Licensed, activate, activated, licensed
from support.licensing import seats, uses
from support.live import LiveServer
from support.rows import change, rows
from support.statements import counted_statements

from app.access.keys import fingerprint_hash
from sql.tables import devices

CAPITALS, NORMAL = "AA:BB:CC:DD:EE:0F\r\n", "aa:bb:cc:dd:ee:0f"
RAW_HASH, HASH = fingerprint_hash(CAPITALS), fingerprint_hash(NORMAL)


async def beat(live: LiveServer, device: Activated, hw_fingerprint: str) -> Response:
    body = {"hw_fingerprint": hw_fingerprint}
    return await live.http.post("/licenses/heartbeat", headers=device.headers, json=body)


async def stored(live: LiveServer, tenant: Licensed) -> list[str]:
    """The tenant's hardware, as it is stored, the oldest first."""
    found = select(devices.c.hw_fingerprint).where(devices.c.tenant_id == tenant.tenant_id).order_by(devices.c.id)
    return [row[0] for row in await rows(live, found)]


async def as_sent_before(live: LiveServer, tenant: Licensed, hw_fingerprint: str, code: int = 0) -> Activated:
    """A device that was stored under the hash of what it sends, as all were once."""
    device = await activated(live, tenant, f"placeholder-{code}", tenant.codes[code])
    raw = update(devices).where(devices.c.id == device.device_id)
    await change(live, raw.values(hw_fingerprint=fingerprint_hash(hw_fingerprint)))
    return device


async def test_the_same_address_in_capitals_is_one_device_and_one_seat(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_devices=1)

    answers = [await activate(sanic_client, tenant, text) for text in (CAPITALS, NORMAL, f" {NORMAL.upper()}")]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["device_id"] for answer in answers}) == 1
    assert (await stored(sanic_client, tenant), await seats(sanic_client, tenant)) == ([HASH], 1)
    assert await uses(sanic_client, tenant) == [1]
    headers = {"authorization": f"Bearer {answers[-1].json()['access_token']}"}
    for text, status in ((NORMAL, 200), (CAPITALS, 200), ("aa:bb:cc:dd:ee:00", 403)):
        heard = await sanic_client.http.post("/licenses/heartbeat", headers=headers, json={"hw_fingerprint": text})
        assert heard.status_code == status


@pytest.mark.parametrize("by", ["heartbeat", "activation"])
async def test_a_device_that_was_stored_as_it_was_sent_is_found_and_stored_anew(
    sanic_client: LiveServer, by: str
) -> None:
    tenant = await licensed(sanic_client, max_devices=1)
    device = await as_sent_before(sanic_client, tenant, CAPITALS)

    if by == "heartbeat":
        answer = await beat(sanic_client, device, CAPITALS)
    else:
        answer = await activate(sanic_client, tenant, CAPITALS)
        assert answer.json()["device_id"] == device.device_id

    assert (answer.status_code, await stored(sanic_client, tenant)) == (200, [HASH])
    assert (await beat(sanic_client, device, NORMAL)).status_code == 200
    assert (await uses(sanic_client, tenant), await seats(sanic_client, tenant)) == ([1], 1)


async def test_where_both_are_stored_both_stay(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2)
    old = await as_sent_before(sanic_client, tenant, CAPITALS)
    new = await activated(sanic_client, tenant, NORMAL, tenant.codes[1])

    again = await activate(sanic_client, tenant, CAPITALS)
    beats = [await beat(sanic_client, old, CAPITALS), await beat(sanic_client, new, NORMAL)]
    strange = await beat(sanic_client, old, NORMAL)

    assert (again.status_code, again.json()["device_id"]) == (200, old.device_id)
    assert ([answer.status_code for answer in beats], strange.status_code) == ([200, 200], 403)
    assert (await stored(sanic_client, tenant), await seats(sanic_client, tenant)) == ([RAW_HASH, HASH], 2)


async def test_a_revoked_device_is_revoked_however_it_writes_itself(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2)
    device = await as_sent_before(sanic_client, tenant, CAPITALS)
    revoked = update(devices).where(devices.c.id == device.device_id)
    await change(sanic_client, revoked.values(is_revoked=True, seat_held=False))

    stranger = await activate(sanic_client, tenant, CAPITALS, "AAAA-AAAA-AAAA-AAAA")
    untouched = await stored(sanic_client, tenant)
    answers = [await activate(sanic_client, tenant, text, tenant.codes[1]) for text in (CAPITALS, NORMAL)]

    assert (stranger.status_code, untouched) == (400, [RAW_HASH])
    assert [answer.json()["errorCode"] for answer in answers] == ["device_revoked"] * 2
    assert await stored(sanic_client, tenant) == [HASH]


async def test_who_sends_it_as_it_is_compared_pays_nothing_for_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2)
    device = await activated(sanic_client, tenant, NORMAL)

    statements = []
    for text in (NORMAL, CAPITALS):
        with counted_statements(sanic_client.runtime.db) as seen:
            assert (await beat(sanic_client, device, text)).status_code == 200
        statements.append(len(seen))

    assert statements == [1, 1]
