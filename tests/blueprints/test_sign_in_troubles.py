"""What goes wrong at an identity provider: the person reads why, the log has the provider's words, and no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from httpx2 import Response
from structlog.testing import capture_logs
from support.clocks import MovableClock
from support.operators import Browser
from support.provider import CLIENT_SECRET, Provider, provider_process
from support.provider_sign_in import ANN, accounts_of, portal, sent_away, vouched

from app.access.identity_provider import IdentityProvider
from app.access.provider_words import MAX_CHARACTERS, words_of
from app.clock import SystemClock
from app.errors import ClientRefusedError
from app.settings import Settings

pytestmark = pytest.mark.processes
LISTED = {"oidc_allowed_domains": "example.com", "log_level": "warning"}
WRONG_SECRET = "a secret: that nobody has"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One provider for all tests here."""
    with provider_process() as running:
        yield running


async def told(person: Browser, **how: Any) -> tuple[Response, list[dict[str, Any]], str]:
    """The answer when a browser comes back, what was logged meanwhile, and the address that it came back to."""
    back = await vouched(await sent_away(person), **how)
    with capture_logs() as logged:
        answer = await person.get(back)
    return answer, [dict(entry) for entry in logged], back


@pytest.mark.parametrize(
    ("changes", "how", "status", "read", "words"),
    [
        (
            {"oidc_client_secret": WRONG_SECRET},
            {},
            503,
            ["does not accept the portal as its client (invalid_client)", "portal doctor tries them"],
            {
                "event": "identity_provider_refused",
                "place": "token",
                "status": 401,
                "error": "invalid_client",
                "description": "Invalid client credentials for (secret)",
            },
        ),
        (
            {},
            {"misbehave": "refuse_code"},
            401,
            ["the code is refused (invalid_grant)", "Start again at /auth/login"],
            {
                "event": "identity_provider_refused",
                "place": "token",
                "status": 400,
                "error": "invalid_grant",
                "description": "Code (secret) is not valid",
            },
        ),
        (
            {},
            {"misbehave": "break"},
            503,
            ["the provider does not answer"],
            {"event": "identity_provider_failed", "status": 500, "description": "the vault is closed"},
        ),
        (
            {},
            {"misbehave": "say_no"},
            401,
            ["the provider has refused (access_denied)"],
            {
                "event": "identity_provider_refused",
                "place": "authorization",
                "error": "access_denied",
                "description": "Consent was not given <b>",
            },
        ),
        (
            {},
            {"misbehave": "wrong_key"},
            401,
            ["its signature is wrong"],
            {"event": "operator_sign_in_refused", "reason": "its signature is wrong"},
        ),
        (
            {},
            {"claims": {**ANN, "email_verified": False}},
            403,
            ["ann@example.com is verified", "Have it verified there"],
            {"event": "operator_not_allowed", "email": "ann@example.com", "reason": "unverified"},
        ),
        (
            {},
            {"claims": {"email_verified": True}},
            403,
            ["names no e-mail address that can be used"],
            {"event": "operator_not_allowed", "reason": "no usable e-mail address"},
        ),
        (
            {"oidc_allowed_domains": "", "oidc_role_claim": "groups"},
            {"claims": ANN},
            403,
            ["is not an operator of this portal", "Ask an owner to admit it"],
            {"event": "operator_not_allowed", "reason": "no role in groups, and not listed"},
        ),
    ],
    ids=["client", "code", "broken", "no", "key", "unverified", "no-address", "no-role"],
)
async def test_the_person_reads_the_reason_and_the_log_has_the_providers_words(
    settings: Settings,
    provider: Provider,
    changes: dict[str, str],
    how: dict[str, Any],
    status: int,
    read: list[str],
    words: dict[str, Any],
) -> None:
    async with portal(settings, provider, **{**LISTED, **changes}) as (live, person):
        answer, logged, back = await told(person, **how)

        assert (answer.status_code, await accounts_of(live)) == (status, [])
        assert [part for part in read if part not in answer.text] == []
        assert any(entry.items() >= words.items() for entry in logged), logged
        everything = json.dumps(logged, default=str)
        code, state = (part.partition("=")[2] for part in back.partition("?")[2].split("&")[:2])
        for secret in (CLIENT_SECRET, WRONG_SECRET, code if "error" not in back else state, state):
            assert secret not in everything


def test_words_of_a_provider_are_cut_and_cleaned() -> None:
    assert words_of({"error": "bad\r\nrequest", "error_description": "x" * 999}) == (
        "bad request",
        "x" * MAX_CHARACTERS,
    )
    nested = {"error": {"code": 400, "message": "API key abcdef123 is wrong", "status": "INVALID"}}
    assert words_of(nested, ["abcdef123", ""]) == ("400", "API key (secret) is wrong")
    for nothing in (None, [], "error", {}, {"error": None}):
        assert words_of(nothing) == ("", "")
        assert words_of(nothing).in_brackets == ""


async def test_what_a_stranger_adds_to_an_address_leads_nowhere_else(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, **LISTED) as (live, person):
        evil = "https://evil.example/"
        asked = {"redirect_uri": evil, "next": evil, "return_to": evil, "state": "known", "nonce": "known"}
        hostile = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
        started = await person.get("/auth/login", params=asked, headers=hostile)
        there = dict(parse_qsl(urlsplit(started.headers["location"]).query))
        assert there["redirect_uri"] == live.runtime.settings.public_url + "/auth/callback"
        assert "evil" not in started.headers["location"]
        assert "known" not in {there["state"], there["nonce"]}

        first, second = [await sent_away(person) for _ in range(2)]
        one, two = [dict(parse_qsl(urlsplit(await vouched(address)).query)) for address in (first, second)]
        # A code that was given for one attempt, with the state of another; and two states of which one is right.
        swapped = await person.get("/auth/callback", params={"code": two["code"], "state": one["state"]})
        doubled = await person.get(f"/auth/callback?code={one['code']}&state={one['state']}&state=other")
        assert (swapped.status_code, doubled.status_code, await accounts_of(live)) == (401, 401, [])
        back = await vouched(await sent_away(person))
        done = await person.get(f"{back}&next={evil}&redirect_uri={evil}", headers=hostile)
        assert (done.status_code, done.headers["location"]) == (303, "/admin")


async def test_two_tabs_both_come_back(settings: Settings, provider: Provider) -> None:
    async with portal(settings, provider, **LISTED) as (_, person):
        first, second = [await sent_away(person) for _ in range(2)]
        for address in (first, second):
            answer = await person.get(await vouched(address))
            assert (answer.status_code, answer.headers["location"]) == (303, "/admin")


async def test_who_loads_the_callback_again_is_led_on(
    settings: Settings, provider: Provider, clock: MovableClock
) -> None:
    async with portal(settings, provider, clock, **LISTED) as (live, person):
        back = await vouched(await sent_away(person))
        assert (await person.get(back)).status_code == 303
        for _ in range(2):
            again = await person.get(back)
            assert (again.status_code, again.headers["location"]) == (303, "/admin")
        # Only who is signed in: what was spent opens nothing.
        person.http.cookies.set("session", "nonsense")
        assert (await live.http.get(back)).status_code == 401
        clock.move(hours=13)
        assert (await person.get(back)).status_code == 401


async def test_a_browser_collects_no_attempts(settings: Settings, provider: Provider, clock: MovableClock) -> None:
    async with portal(settings, provider, clock, **LISTED) as (_, person):

        def waiting() -> int:
            return sum(name.startswith("sign_in_") for name in person.http.cookies)

        addresses = [await sent_away(person) for _ in range(8)]
        assert waiting() == 5
        assert (await person.get(await vouched(addresses[0]))).status_code == 401
        assert (await person.get(await vouched(addresses[-5]))).status_code == 303
        clock.move(minutes=11)
        await sent_away(person)
        assert waiting() == 1


async def test_the_client_is_tried_without_anybody_signing_in(settings: Settings, provider: Provider) -> None:
    right = Settings(**{**settings.model_dump(), **provider.settings})
    for configured in (right, right.model_copy(update={"oidc_client_id": "another"})):
        trying = IdentityProvider(configured, SystemClock())
        try:
            if configured is right:
                assert (await trying.try_client()).error == "invalid_grant"
            else:
                with pytest.raises(ClientRefusedError):
                    await trying.try_client()
        finally:
            await trying.close()
