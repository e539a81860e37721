"""Access tokens: what they say, who can check them, what is not one, and keys that rotate."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, OKPKey
from pydantic import SecretStr
from sqlalchemy import delete, select
from support.builders import Activated, activated, licensed, refresh
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import rows, told

from app.access import access_tokens as app_tokens
from app.access.access_tokens import AccessTokens, SigningKey
from app.access.keys import Keys
from app.errors import DatabaseUnavailableError, SettingsError
from app.services.licensing import signing_keys as rotation
from app.services.licensing.signing_keys import rotate_keys
from sql.statements.licensing import verifying_keys
from sql.tables import signing_keys


def b64(part: Any) -> str:
    raw = part if isinstance(part, bytes) else orjson.dumps(part)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unverified."""
    header, claims, _ = token.split(".")
    return tuple(orjson.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims))


async def keys_of(live: LiveServer) -> KeySet:
    """The key set that anybody can read."""
    return KeySet.import_key_set((await live.http.get("/.well-known/jwks.json")).json())


async def status_of(live: LiveServer, token: str) -> tuple[int, str | None]:
    """What the policy answers to a bearer of this token."""
    answer = await live.http.get("/licenses/policy", headers={"authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("errorCode")


def signed_like_ours(live: LiveServer, device: Activated, **changes: Any) -> str:
    """A token signed with the installation's own key, with other claims."""
    header, claims = parts(device.access_token)
    claims |= changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(header, claims, live.runtime.tokens._parsed[header["kid"]], algorithms=["EdDSA"])


async def test_a_token_says_who_and_what(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    header, claims = parts(device.access_token)

    issued = claims.pop("iat")
    assert abs(issued - datetime.now(UTC).timestamp()) < 60
    assert claims == {
        "iss": "addon-portal",
        "aud": "addon-portal",
        "exp": issued + 900,
        "sub": f"tenant:{device.tenant.tenant_id}:device:{device.device_id}",
        "entitlements": {
            "plan": device.tenant.plan,
            "monthly_run_quota": 50,
            "subscription_state": "active",
        },
    }
    assert header == {"alg": "EdDSA", "typ": "JWT", "kid": header["kid"]}


@pytest.mark.parametrize("quota", [0, 70])
async def test_whichever_way_it_is_had_a_token_says_what_the_plan_grants(sanic_client: LiveServer, quota: int) -> None:
    tenant = await licensed(sanic_client, codes=2, quota=quota, state="trialing")

    first = await activated(sanic_client, tenant)
    again = await activated(sanic_client, tenant)
    with_another_code = await activated(sanic_client, tenant, code=tenant.codes[1])
    renewed = (await refresh(sanic_client, with_another_code)).json()["access_token"]

    tokens = [first.access_token, again.access_token, with_another_code.access_token, renewed]
    granted = {"plan": tenant.plan, "monthly_run_quota": quota, "subscription_state": "trialing"}
    assert [parts(token)[1]["entitlements"] for token in tokens] == [granted] * 4


async def test_the_published_keys_alone_verify_a_token(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    verified = jwt.decode(device.access_token, await keys_of(sanic_client), algorithms=["EdDSA"])

    assert verified.claims["sub"].endswith(f"device:{device.device_id}")


async def test_the_published_keys_hold_nothing_private(sanic_client: LiveServer) -> None:
    answer = await sanic_client.http.get("/.well-known/jwks.json")

    assert answer.headers["content-type"] == "application/jwk-set+json"
    (key,) = answer.json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "kid", "alg", "use"}


async def test_private_keys_are_sealed_where_they_are_stored(sanic_client: LiveServer) -> None:
    (stored,) = await rows(sanic_client, verifying_keys, now=datetime.now(UTC))
    settings = sanic_client.runtime.settings
    other = Keys(settings.model_copy(update={"secret_key": SecretStr("another-secret" * 4)}))

    assert b'"d"' in sanic_client.runtime.keys.open(stored.sealed_private_jwk, stored.kid)
    assert b'"d"' not in stored.sealed_private_jwk
    with pytest.raises(SettingsError, match="secret_key"):
        other.open(stored.sealed_private_jwk, stored.kid)


async def test_a_token_ends_after_fifteen_minutes_even_if_it_was_seen_before(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    device = await activated(sanic_client)
    assert await status_of(sanic_client, device.access_token) == (200, None)
    clock.move(seconds=901)

    answer = await status_of(sanic_client, device.access_token)

    assert answer == (401, "token_expired")


OTHER_CLAIMS = [
    {"iss": "somebody-else"},
    {"iss": None},
    {"aud": "somebody-else"},
    {"aud": ["addon-portal", "other"]},
    {"aud": None},
    {"exp": None},
    {"exp": "soon"},
    {"sub": "device:1"},
    {"sub": "tenant:one:device:two"},
    {"sub": None},
    {"sub": 7},
]


async def test_a_token_with_other_claims_is_not_ours(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    tokens = [signed_like_ours(sanic_client, device, **changes) for changes in OTHER_CLAIMS]

    answers = [await status_of(sanic_client, token) for token in tokens]

    assert answers == [(401, "token_invalid")] * len(OTHER_CLAIMS)


async def test_a_token_for_a_device_that_never_was_is_unknown(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    tokens = [
        signed_like_ours(sanic_client, device, sub=f"tenant:{device.tenant.tenant_id}:device:999"),
        signed_like_ours(sanic_client, device, sub=f"tenant:999:device:{device.device_id}"),
    ]

    answers = [await status_of(sanic_client, token) for token in tokens]

    assert answers == [(401, "device_unknown")] * 2


async def test_nothing_but_our_signature_is_believed(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    header, claims = parts(device.access_token)
    start, _, signature = device.access_token.rpartition(".")
    (public,) = (await sanic_client.http.get("/.well-known/jwks.json")).json()["keys"]
    raw_key = base64.urlsafe_b64decode(public["x"] + "==")
    confused = {**header, "alg": "HS256"}
    forged = [
        f"{b64({**header, 'alg': 'none'})}.{b64(claims)}.",
        f"{b64({**header, 'alg': 'none'})}.{b64(claims)}.{signature}",
        jwt.encode(confused, claims, OctKey.import_key(raw_key), algorithms=["HS256"]),
        jwt.encode(confused, claims, OctKey.import_key(orjson.dumps(public)), algorithms=["HS256"]),
        jwt.encode(header, claims, OKPKey.generate_key("Ed25519"), algorithms=["EdDSA"]),
        jwt.encode({**header, "kid": "unknown"}, claims, OKPKey.generate_key("Ed25519"), algorithms=["EdDSA"]),
        f"{start}.{'A' * len(signature)}",
        f"{b64(header)}.{b64({**claims, 'sub': 'tenant:1:device:2'})}.{signature}",
    ]

    answers = [await status_of(sanic_client, token) for token in forged]

    assert answers == [(401, "token_invalid")] * len(forged)


GARBAGE = [
    "x",
    "...",
    "a.b.c",
    "a.b.c.d.e",
    f"{b64([])}.{b64({})}.{b64(b'x')}",
    f"{b64({'alg': 'EdDSA'})}.{b64({})}.{b64(b'x')}",
    f"{b64({'alg': 'EdDSA', 'kid': 5})}.{b64({})}.{b64(b'x')}",
    f"{b64({'alg': 'EdDSA', 'kid': {}})}.{b64([1])}.{b64(b'x')}",
    f"{b64(b'[' * 5000)}.{b64({})}.{b64(b'x')}",
    f"{b64(b'{' + b'{' * 5000)}.{b64({})}.{b64(b'x')}",
    f"{b64(bytes(range(256)))}.{b64({})}.{b64(b'x')}",
    "\u00e9\u00e8.\u00ff.x",
]


async def test_garbage_is_not_a_token(sanic_client: LiveServer) -> None:
    answers = [
        await sanic_client.http.get("/licenses/policy", headers={"authorization": f"Bearer {token}".encode("latin-1")})
        for token in GARBAGE
    ]

    assert {(answer.status_code, answer.json()["errorCode"]) for answer in answers} == {(401, "token_invalid")}
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


async def test_without_a_bearer_token_nobody_asks(sanic_client: LiveServer) -> None:
    sent = [{}, *({"authorization": value} for value in ("", "Bearer", "Basic dTpw", "Token x"))]

    answers = [await sanic_client.http.get("/licenses/policy", headers=headers) for headers in sent]

    assert {(answer.status_code, answer.json()["errorCode"]) for answer in answers} == {(401, "token_missing")}


async def test_the_scheme_is_read_in_any_case(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    answer = await sanic_client.http.get("/licenses/policy", headers={"authorization": f"bEARER {device.access_token}"})

    assert answer.status_code == 200


async def test_a_rotation_publishes_the_new_key_before_it_signs(sanic_client: LiveServer, clock: MovableClock) -> None:
    device = await activated(sanic_client)
    old_kid = parts(device.access_token)[0]["kid"]

    rotation = await rotate_keys(sanic_client.ctx)
    await sanic_client.runtime.tokens.load()

    published = {key["kid"] for key in (await sanic_client.http.get("/.well-known/jwks.json")).json()["keys"]}
    assert published == {old_kid, rotation.kid}
    during = await activated(sanic_client, device.tenant)
    assert parts(during.access_token)[0]["kid"] == old_kid
    clock.move(seconds=sanic_client.runtime.settings.signing_key_lead_seconds + 1)
    after = await activated(sanic_client, device.tenant)
    assert parts(after.access_token)[0]["kid"] == rotation.kid
    assert await status_of(sanic_client, during.access_token) == (200, None)
    assert await status_of(sanic_client, after.access_token) == (200, None)


async def test_a_replaced_key_ends_after_its_last_token(sanic_client: LiveServer, clock: MovableClock) -> None:
    live, settings = sanic_client, sanic_client.runtime.settings
    device = await activated(live)
    rotation = await rotate_keys(live.ctx)
    clock.move(seconds=settings.signing_key_lead_seconds - 1)
    last = await activated(live, device.tenant)
    clock.move(seconds=settings.access_token_seconds - 1)
    await live.runtime.tokens.load()
    assert await status_of(live, last.access_token) == (200, None)
    clock.move(seconds=120)
    await live.runtime.tokens.load()

    published = [key["kid"] for key in (await live.http.get("/.well-known/jwks.json")).json()["keys"]]

    assert published == [rotation.kid]


async def test_a_compromised_key_ends_at_once_and_devices_refresh(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    assert await status_of(sanic_client, device.access_token) == (200, None)

    rotation = await rotate_keys(sanic_client.ctx, compromised=True)
    await sanic_client.runtime.tokens.load()

    assert await status_of(sanic_client, device.access_token) == (401, "token_invalid")
    renewed = (await refresh(sanic_client, device)).json()["access_token"]
    assert parts(renewed)[0]["kid"] == rotation.kid
    assert await status_of(sanic_client, renewed) == (200, None)


async def test_a_compromised_key_ends_at_once_though_its_end_was_set_before(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    await rotate_keys(sanic_client.ctx)

    rotation = await rotate_keys(sanic_client.ctx, compromised=True)
    await sanic_client.runtime.tokens.load()

    assert {key["kid"] for key in sanic_client.runtime.tokens.jwks["keys"]} == {rotation.kid}
    assert await status_of(sanic_client, device.access_token) == (401, "token_invalid")


@pytest.mark.parametrize(("is_compromised", "reason"), [(False, "rotation"), (True, "compromised")])
async def test_a_rotation_is_told_with_its_key_and_its_reason(
    sanic_client: LiveServer, is_compromised: bool, reason: str
) -> None:
    rotation = await rotate_keys(sanic_client.ctx, compromised=is_compromised)

    (event,) = await told(sanic_client)
    assert (event.event_type, event.title) == ("signing_key_rotated", "Signing key rotated")
    assert orjson.loads(event.metadata) == {"kid": rotation.kid, "reason": reason}
    (stored,) = await rows(sanic_client, select(signing_keys).where(signing_keys.c.kid == rotation.kid))
    assert rotation.signs_from == stored.signs_from


async def test_a_worker_reads_the_keys_again_when_it_meets_an_unknown_one(sanic_client: LiveServer) -> None:
    """Another process has rotated: its tokens work here before the keys were read again by time."""
    device = await activated(sanic_client)
    tokens = sanic_client.runtime.tokens
    rotation = await rotate_keys(sanic_client.ctx, compromised=True)
    (stored,) = await rows(sanic_client, verifying_keys, now=datetime.now(UTC))
    private = OKPKey.import_key(orjson.loads(sanic_client.runtime.keys.open(stored.sealed_private_jwk, stored.kid)))
    header, claims = parts(device.access_token)
    token = jwt.encode({**header, "kid": rotation.kid}, claims, private, algorithms=["EdDSA"])
    tokens._loaded_at -= 10

    answer = await status_of(sanic_client, token)

    assert answer == (200, None)


async def test_a_worker_goes_on_reading_the_keys_after_an_outage(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, tokens = sanic_client, sanic_client.runtime.tokens
    device = await activated(live)
    outages, read, was_read = [DatabaseUnavailableError(), DatabaseUnavailableError()], tokens.load, asyncio.Event()

    async def fail_first() -> None:
        if outages:
            raise outages.pop()
        await read()
        was_read.set()

    await rotate_keys(live.ctx, compromised=True)
    monkeypatch.setattr(app_tokens, "RELOAD_SECONDS", 0.01)
    monkeypatch.setattr(tokens, "load", fail_first)
    keeping = asyncio.create_task(tokens.keep_loaded())
    try:
        await asyncio.wait_for(was_read.wait(), timeout=10)
    finally:
        keeping.cancel()

    assert await status_of(live, device.access_token) == (401, "token_invalid")


async def test_the_first_key_is_made_once_and_found_again(sanic_client: LiveServer) -> None:
    before = sanic_client.runtime.tokens.jwks

    await sanic_client.runtime.tokens.load()

    assert len(before["keys"]) == 1
    assert sanic_client.runtime.tokens.jwks == before


async def test_of_hosts_that_start_together_one_stores_the_first_key(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = sanic_client.runtime
    hosts = [AccessTokens(runtime.settings, runtime.db, runtime.keys, runtime.clock) for _ in range(3)]
    read, all_have_looked = AccessTokens._read, asyncio.Barrier(len(hosts))

    async def read_together(tokens: AccessTokens) -> dict[str, SigningKey]:
        found = await read(tokens)
        if not found:
            await all_have_looked.wait()
        return found

    async with runtime.db.write() as conn:
        await conn.affected(delete(signing_keys))
    monkeypatch.setattr(AccessTokens, "_read", read_together)
    await asyncio.gather(*(host.load() for host in hosts))

    kids = {key["kid"] for host in hosts for key in host.jwks["keys"]}
    assert (len(kids), len(await rows(sanic_client, select(signing_keys.c.kid)))) == (1, 1)


async def test_of_keys_that_are_rotated_at_once_one_has_no_end(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = rotation.record

    async def record_slowly(*told: Any) -> None:
        await record(*told)
        await asyncio.sleep(0.3)

    monkeypatch.setattr(rotation, "record", record_slowly)
    rotations = await asyncio.gather(*(rotate_keys(sanic_client.ctx) for _ in range(3)))
    stored = await rows(sanic_client, verifying_keys, now=sanic_client.ctx.now())
    endless = [key.kid for key in stored if key.verifies_until is None]

    assert (len(endless), set(endless) <= {rotation.kid for rotation in rotations}) == (1, True)
