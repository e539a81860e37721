"""No secret stays anywhere: everybody's whole journey at log level debug, then a search of all that it left behind."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import pickle
import sqlite3
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import httpx2
import pytest
from sqlalchemy.engine import make_url
from support.databases import SECRET
from support.journey import JSON, PATIENCE, REDIS_PASSWORD, Journey, left_by, talkative, until, with_password
from support.leaks import Secrets, files
from support.messages import MessageProvider, message_provider
from support.processes import served
from support.provider import CLIENT_SECRET, Provider, provider_process
from support.sign_in import GENERATE, VERIFY, code_in, wrong
from support.smtp import Post, smtp_elsewhere

pytestmark = pytest.mark.processes
# What must have been logged, or the log was not the one to look into.
LOGGED = {
    "errand_failed",
    "operator_not_allowed",
    "operator_sign_in_refused",
    "redis_does_not_answer",
    "request",
    "request_failed",
    "worker_started",
}
# Libraries that must have been heard below their warnings, where everything is logged.
HEARD = {"dbos", "sanic.server"}
# What must have been seen in clear.
KINDS = {
    "API token",
    "OIDC code",
    "OIDC nonce",
    "OIDC state",
    "Redis password",
    "SMTP password",
    "access token",
    "activation code",
    "client secret",
    "cookie form",
    "cookie session",
    "cookie sign_in",
    "database password",
    "form token",
    "idempotency key",
    "one-time password",
    "password",
    "provider key",
    "provider password",
    "refresh token",
    "secret key",
    "session token",
    "sign-in link",
}
ONE_TIME_PASSWORD = "one-time password"
SMTP_PASSWORD = "smtp pässword/with:all@of it"
MESSENGER_PASSWORD = "messenger password 7Q"
DATABASE_PASSWORD = "database password 3F"
PROVIDER_KEYS = {
    "OPENAI_API_KEY": "sk-proj-openai-key-8D2f",
    "ANTHROPIC_API_KEY": "sk-ant-anthropic-key-4Kq",
    "GOOGLE_API_KEY": "AIzaSy-google-key-6Wm",
}


async def operators(journey: Journey) -> None:
    """Everybody who administers: by link, by password, with the provider, by token; and who may not."""
    secrets, first, second = journey.secrets, "a first password of Ann's", "the password of Bob"
    linked, _, made = await asyncio.gather(
        journey.command("create-operator", "--email", "ann@example.com", "--role", "owner"),
        journey.command(
            "create-operator", "--email", "bob@example.com", "--role", "owner", "--password-stdin", stdin=second
        ),
        journey.command("create-token", "--name", "journey", "--role", "owner"),
    )
    secrets.keep("password", first, second)
    journey.headers = {"authorization": f"Bearer {secrets.keep('API token', made['token'])}"}
    link = secrets.keep("sign-in link", linked["sign_in_url"].rpartition("/")[2])
    async with journey.browser() as ann, journey.browser() as bob:
        asked = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
        assert (await ann.request("OPTIONS", f"/auth/link/{link}", headers=asked, content=b"read by nobody")).is_success
        short = secrets.keep("password", "too short 1")
        await journey.send_form(ann, f"/auth/link/{link}", "/auth/link", 422, token=link, password=short)
        by_link = partial(journey.send_form, ann, f"/auth/link/{link}", "/auth/link", token=link, password=first)
        await journey.broken("operator_sessions", partial(by_link, 500))
        await by_link(303)
        used = await ann.post("/auth/link", data={"token": link, "password": first, "form_token": "made up"})
        journey.judge(used, 403)
        journey.judge(await ann.get(f"/auth/link/{link}"), 401)
        by_password = partial(journey.send_form, bob, "/admin/login", "/auth/local", email="bob@example.com")
        await by_password(401, password=secrets.keep("password", "not the password of Bob"))
        # People type passwords into the wrong field.
        await journey.send_form(bob, "/admin/login", "/auth/local", 401, email=second, password="bob@example.com")
        await journey.broken("operator_sessions", partial(by_password, 500, password=second))
        await by_password(303, password=second)
        own = {"origin": journey.server.runtime.settings.public_url, "accept": "application/json"}
        person = {**own, "cookie": f"session={bob.cookies['session']}"}
        body = {"name": "twice", "role": "operator", "days": 3}
        secrets.keep("API token", (await journey.twice("/admin/api/tokens", 201, body, person))["token"])
        await journey.send_form(bob, "/auth/logout", "/auth/logout", 303)
        journey.judge(await bob.get("/auth/me", headers={"accept": "application/json", **person}), 401)


async def models(journey: Journey) -> None:
    """Prices of models, by a program and by the command line; the doctor looks at the providers' keys."""
    price = {"provider": "openai", "model": "local/llama:7b", "inputPrice": 0.1, "outputPrice": 0.2}
    await journey.ask("PUT", "/api/llm/prices", headers=journey.headers, json=price)
    await journey.ask("PUT", "/api/llm/prices", 422, headers=journey.headers, json={**price, "inputPrice": "much"})
    await journey.ask("GET", "/api/llm/prices", headers=journey.headers)
    assert (await journey.command("llm", "prices"))["prices"]
    checks = (await journey.command("doctor"))["checks"]
    told = json.dumps(checks)
    assert all(f"has a key ({variable})" in told for variable in PROVIDER_KEYS)
    assert [key for key in PROVIDER_KEYS.values() if key in told] == []


async def provider_of_identities(journey: Journey, provider: Provider) -> None:
    """An operator whom the organisation's provider vouches for, one whom it does not, and a code that is refused."""
    vouched = {"claims": json.dumps({"email": "eve@example.com", "email_verified": True})}
    stranger = {"claims": json.dumps({"email": "mallory@elsewhere.example", "email_verified": True})}
    for said, status in ((vouched, 303), (stranger, 403), ({**vouched, "misbehave": "refuse_code"}, 401)):
        async with journey.browser() as person, httpx2.AsyncClient(trust_env=False) as elsewhere:
            sent = (await person.get("/auth/login")).headers["location"]
            asked = parse_qs(urlsplit(sent).query)
            journey.secrets.keep("OIDC state", asked["state"][0])
            journey.secrets.keep("OIDC nonce", asked["nonce"][0])
            journey.keep_cookies(person)
            back = urlsplit((await elsewhere.get(f"{sent}&{urlencode(said)}")).headers["location"])
            journey.secrets.keep("OIDC code", dict(parse_qsl(back.query))["code"])
            journey.judge(await person.get(f"{back.path}?{back.query}"), status)
            journey.keep_cookies(person)


async def tenants(journey: Journey) -> list[str]:
    """A plan, a tenant with its codes and its welcome, another tenant, and codes to hand out, which it answers."""
    plan = {"name": "Journey", "stripePriceId": "price_journey", "monthlyRunQuota": 40}
    await journey.twice("/admin/api/plans", 201, plan)
    tenant = {"name": "Acme", "slug": "acme", "subscriptionPlan": "Journey", "email": "it@acme.example"}
    more = {"phoneNumber": "+49123456", "otpDeliveryMethod": "both"}
    await journey.twice("/admin/api/tenants", 201, {**tenant, **more})
    wish = {"tenant_slug": "acme", "count": 3, "label": "handed out", "max_uses": 5}
    made = await journey.twice("/admin/api/codes/generate", 200, wish)
    journey.secrets.keep("activation code", *made["codes"])
    await journey.broken(
        "activation_codes",
        partial(journey.ask, "POST", "/admin/api/codes/generate", 500, json=wish, headers=journey.headers),
    )
    more_codes = (await journey.command("gen-codes", "--tenant", "acme"))["codes"]
    journey.secrets.keep("activation code", *more_codes)
    # A whole code is what operators search for.
    found = await journey.ask("GET", "/admin/api/codes", params={"search": made["codes"][0]}, headers=journey.headers)
    assert (found["total"], found["codes"][0]["code"]) == (1, None)
    other = {**tenant, "name": "Beta", "slug": "beta", "email": "it@beta.example"}
    await journey.ask("POST", "/admin/api/tenants", 201, json=other, headers=journey.headers)
    return [*made["codes"], *more_codes]


async def mail(journey: Journey, post: Post | None, begins: str, known: int) -> str:
    """The newest message that begins so, once there are more than this many, where messages arrive."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if post is None:
                headers = {"accept": "application/json"}
                arrived = (await journey.ask("GET", "/dev/mailbox", headers=headers))["messages"]
                texts = [message["text"] for message in arrived]
            else:
                texts = [message.get_body(("plain",)).get_content() for message in reversed(post.arrived)]
            such = [text for text in texts if text.startswith(begins)]
            if len(such) > known:
                return str(such[0])
            await asyncio.sleep(0.05)


async def one_time_password(journey: Journey, post: Post | None, known: int) -> str:
    """Ask for a one-time password and read it where it arrives."""
    await journey.ask("POST", GENERATE, json={"tenant_slug": "acme"})
    return journey.secrets.keep(ONE_TIME_PASSWORD, code_in(await mail(journey, post, "Your sign-in code", known)))


async def tenant_signs_in(journey: Journey, messenger: MessageProvider, post: Post | None = None) -> None:
    """A code by mail and SMS, a wrong guess, a code sent again, a session that is used, and its end."""
    secrets = journey.secrets
    if post is None:
        await mail(journey, None, "Welcome, Acme", 0)
    old = await one_time_password(journey, post, 0)
    await until(lambda: messenger.told and code_in(messenger.told[-1]["text"]) == old)
    messenger.answers = [403]
    newest = await one_time_password(journey, post, 1)
    given = partial(journey.ask, "POST", VERIFY)
    for guess in {old, wrong(newest)} - {newest}:
        await given(401, json={"tenant_slug": "acme", "otp_code": secrets.keep(ONE_TIME_PASSWORD, guess)})
    await given(422, json={"tenant_slug": "acme", "otp_code": f"{newest}0"})
    await given(400, content=f'{{"tenant_slug": "acme", "otp_code": "{newest}"', headers=JSON)
    body = {"tenant_slug": "acme", "otp_code": newest}
    await journey.broken("tenant_sessions", partial(given, 500, json=body))
    token = secrets.keep("session token", (await given(json=body))["session_token"])
    mine = {"x-session-token": token}
    await journey.ask("GET", "/api/tenant/auth/session", headers=mine)
    await journey.ask("POST", "/api/tenant/auth/refresh", headers=mine)
    await journey.ask("PUT", "/api/tenant/profile", headers=mine, json={"name": "Acme Ltd", "domain": "acme.example"})
    await journey.ask("PUT", "/api/tenant/profile", 422, headers=mine, json={"name": ""})
    await journey.ask("GET", "/usage/acme", headers=mine)
    await journey.ask("POST", "/api/tenant/auth/logout", 204, headers=mine)
    await journey.ask("GET", "/api/tenant/profile", 401, headers=mine)


async def devices(journey: Journey, *codes: str) -> None:
    """A device is bound, renews its tokens both ways, works, and shows a used token; wrong codes and broken bodies."""
    secrets, ask, last = journey.secrets, journey.ask, codes[-1]
    who = {"tenant_slug": "acme", "hw_fingerprint": "hardware-1"}

    def kept(pair: dict[str, Any]) -> dict[str, Any]:
        secrets.keep_token("access token", pair["access_token"], public=2)
        secrets.keep_token("refresh token", pair["refresh_token"], public=1)
        return {"tenant_slug": "acme", "device_id": pair["device_id"], "refresh_token": pair["refresh_token"]}

    activation = {**who, "activation_code": codes[0]}
    await journey.broken("refresh_families", partial(ask, "POST", "/authz/activate", 500, json=activation))
    first = kept(await journey.twice("/authz/activate", 200, activation, {}))
    lowered = {**who, "activation_code": codes[1].lower().replace("-", " "), "hw_fingerprint": "hardware-2"}
    kept(await ask("POST", "/authz/activate", json=lowered))
    unknown = secrets.keep("activation code", f"{last[:-4]}{'AAAA' if last[-4:] != 'AAAA' else 'BBBB'}")
    await ask("POST", "/authz/activate", 400, json={**who, "activation_code": unknown})
    await ask("POST", "/authz/activate", 400, content=f'{{"activation_code": "{last}", "tenant', headers=JSON)
    await ask("POST", "/authz/activate", 422, json={**who, "activation_code": [last]})
    second = kept(await ask("POST", "/authz/refresh", json=first))
    pair = await ask("POST", "/authz/refresh", params=second)
    kept(pair)
    device = {"authorization": f"Bearer {pair['access_token']}"}
    await ask("GET", "/licenses/policy", headers=device)
    await ask("POST", "/licenses/heartbeat", headers=device, json={"hw_fingerprint": "hardware-1"})
    await ask(
        "POST", "/usage/acme/events", headers=device, json={"events": [{"id": "1", "kind": "run", "quantity": 2}]}
    )
    await ask("GET", "/licenses/policy", 401, headers={"authorization": f"Bearer {pair['access_token'][:-2]}"})
    await ask("GET", "/nowhere", 404, params=second, headers=device)
    await ask("POST", "/authz/refresh", 401, json=first)
    await ask("POST", "/authz/refresh", 401, params=second)
    await ask("POST", "/authz/refresh", 422, params={**second, "device_id": "none"})
    await asyncio.gather(
        journey.command("keys", "rotate"),
        journey.command("revoke-code", "--tenant", "acme", "--code", codes[2]),
    )


async def delivery_fails(journey: Journey, post: Post) -> None:
    """A mail server that quotes what it refuses, and a database that quotes what it does not store."""
    post.is_quoting = True
    await journey.ask("POST", GENERATE, json={"tenant_slug": "beta"})
    await until(lambda: post.quoted)
    journey.secrets.keep(ONE_TIME_PASSWORD, *{code_in(said) for said in post.quoted})
    failing = partial(journey.ask, "POST", GENERATE, json={"tenant_slug": "beta"})

    async def until_it_failed() -> None:
        known = len(journey.server.events("errand_failed"))
        await failing()
        await until(lambda: len(journey.server.events("errand_failed")) > known)

    await journey.broken("otp_challenges", until_it_failed)


async def play(database: str, folder: Path, secrets: Secrets) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The journey with the mailbox, then with a mail server: what it left, and the same with something planted."""
    secrets.keep("secret key", SECRET)
    secrets.keep("database password", make_url(database).password or DATABASE_PASSWORD)
    secrets.keep("Redis password", REDIS_PASSWORD)
    secrets.keep("client secret", CLIENT_SECRET)
    secrets.keep("provider password", MESSENGER_PASSWORD)
    secrets.keep("SMTP password", SMTP_PASSWORD)
    secrets.keep("provider key", *PROVIDER_KEYS.values())
    seen: dict[str, bytes] = {}
    database = with_password(database, DATABASE_PASSWORD)
    async with AsyncExitStack() as around:
        messenger = await around.enter_async_context(message_provider())
        url = messenger.url.replace("//", f"//portal:{quote(MESSENGER_PASSWORD, safe='')}@", 1)
        known = {"PORTAL_MESSAGE_PROVIDER_URL": url, "PORTAL_OIDC_ALLOWED_DOMAINS": "example.com"}
        identities = await asyncio.to_thread(around.enter_context, provider_process())
        known |= {f"PORTAL_{name.upper()}": value for name, value in identities.settings.items()}
        settings = talkative(**known, **PROVIDER_KEYS)
        async with served(database, folder, workers=2, **settings) as server:
            journey = Journey(server, secrets, folder)
            await operators(journey)
            await models(journey)
            await provider_of_identities(journey, identities)
            made = await tenants(journey)
            await tenant_signs_in(journey, messenger)
            await devices(journey, *made)
            seen |= await left_by(journey)
        post = await around.enter_async_context(smtp_elsewhere(with_password=True, password=SMTP_PASSWORD))
        settings["PORTAL_SMTP_URL"] = f"smtp://portal:{quote(SMTP_PASSWORD, safe='')}@127.0.0.1:{post.port}"
        async with served(database, folder, workers=1, **settings) as server:
            journey.server = server
            journey.refusals.clear()
            await tenant_signs_in(journey, messenger, post)
            await delivery_fails(journey, post)
            seen |= {f"{place}, second": content for place, content in (await left_by(journey)).items()}
            assert {event["event"] for event in logged(folder)} >= LOGGED
            assert {event["logger"] for event in logged(folder) if event["level"] in {"debug", "info"}} >= HEARD
            seen |= files(folder)
            with_canary = await planted(journey) | files(folder)
    return seen, with_canary


def logged(folder: Path) -> list[dict[str, Any]]:
    """Every event in the logs of all servers."""
    lines = [line for log in folder.glob("serve-*.log") for line in log.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


CANARY = "QWER-TYUI-ASDF-GHJK"


async def planted(journey: Journey) -> dict[str, bytes]:
    """What is left once a secret was put into every kind of place, each time spelled otherwise."""
    spelled = CANARY.replace("-", "").lower()
    await journey.change("UPDATE tenants SET name = :name WHERE slug = 'beta'", name=f"Beta {spelled}")
    await journey.change("UPDATE idempotent_answers SET sealed_answer = :answer", answer=CANARY.encode())
    arguments = base64.b64encode(pickle.dumps({"args": ("deliver", f"x{CANARY}"), "kwargs": {}})).decode()
    if journey.server.runtime.db.is_sqlite:
        with contextlib.closing(sqlite3.connect(journey.folder / "durable.db")) as engine:
            engine.execute("UPDATE workflow_status SET inputs = ?", (arguments,))
            engine.commit()
    else:
        await journey.change("UPDATE dbos.workflow_status SET inputs = :arguments", arguments=arguments)
    # The id of a request is logged as its sender has chosen it.
    await journey.ask("GET", "/healthz", headers={"x-request-id": CANARY.encode().hex().upper()})
    return await left_by(journey)


WHERE_PLANTED = ("tenants.name", "idempotent_answers.sealed_answer", "workflow_status.inputs", "serve-")


async def test_what_was_seen_in_clear_is_found_nowhere(database: str, tmp_path: Path) -> None:
    secrets = Secrets()
    places, with_canary = await play(database, tmp_path, secrets)
    mailed = {place: content for place, content in places.items() if place.startswith("mailbox/")}
    elsewhere = {place: content for place, content in places.items() if place not in mailed}

    leaks = secrets.found_in(elsewhere)
    leaks += secrets.but(ONE_TIME_PASSWORD).found_in(mailed)

    assert leaks == []
    assert set(secrets.known.values()) == KINDS
    # The search would have seen them, wherever they had been.
    assert secrets.only(ONE_TIME_PASSWORD).found_in(mailed)
    found = " ".join(Secrets({CANARY: "planted"}).found_in(with_canary))
    assert [place for place in WHERE_PLANTED if place not in found] == []


@pytest.mark.parametrize("secret", ["ABCD-EFGH-JKLM-NPQR", "a pässword/with:all@of it", "x" + "aB3_" * 10, "012345"])
def test_a_secret_is_found_however_it_is_spelled(secret: str) -> None:
    looked_for = Secrets({secret: "planted"})
    ways = {
        "plain": secret,
        "quoted": json.dumps({"code": secret}),
        "upper": secret.upper(),
        "lower without dashes": secret.lower().replace("-", ""),
        "address": f"/authz?code={quote(secret, safe='')}&more=1",
        "hex": f"0x {secret.encode().hex().upper()} ",
        "base64": base64.b64encode(b"c=" + secret.encode() + b"!").decode(),
        "pickle": base64.b64encode(pickle.dumps({"args": (secret, 1)})).decode(),
        "twice": base64.b64encode(base64.urlsafe_b64encode(b'{"token": "' + secret.encode() + b'"}')).decode(),
        "digest": hashlib.sha256(secret.encode()).hexdigest(),
    }

    assert [way for way, text in ways.items() if not looked_for.found_in({way: f"before {text} after".encode()})] == []


@pytest.mark.parametrize("harmless", ["at 10:00:00.012345+00:00", "a012345b-0000", "1.5012345", "id=90123456"])
def test_digits_within_something_else_are_no_one_time_password(harmless: str) -> None:
    assert Secrets({"012345": "planted"}).found_in({"text": harmless.encode()}) == []
