"""Operators and tokens from the command line: the shapes that scripts rely on, and what the doctor says of them."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from support.provider import CLIENT_ID, CLIENT_SECRET, provider_process

from app.__main__ import main

STRONG_SECRET = "abcdefghijklmnopqrstuvwxyz0123456789ABCD"
ANN = ("create-operator", "--email", "Ann@Example.com", "--role", "owner")

Portal = Callable[..., tuple[int, str, str]]


@pytest.fixture
def portal(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """Runs a command on a database that nobody has made yet; answers its exit code and outputs."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def run(*arguments: str, stdin: str = "", **variables: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["portal", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in variables.items():
                patch.setenv(name, value)
            capsys.readouterr()
            exit_code = main()
        return exit_code, *capsys.readouterr()

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def told(ran: tuple[int, str, str]) -> Any:
    """The one JSON object of a command that went well."""
    assert ran[0] == 0, ran[2]
    return json.loads(ran[1])


def checks(ran: tuple[int, str, str]) -> dict[str, tuple[str, str]]:
    return {check["check"]: (check["status"], check["detail"]) for check in json.loads(ran[1])["checks"]}


def stored(state: Path, question: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(state / "portal.db") as connection:
        return connection.execute(question).fetchall()


def test_an_operator_gets_a_link_and_another_one_when_asked_again(portal: Portal, state: Path) -> None:
    first, second = [told(portal(*ANN, "--json")) for _ in range(2)]

    assert list(first) == ["email", "sign_in_url"]
    assert first["email"] == "ann@example.com"
    assert first["sign_in_url"].startswith("http://127.0.0.1:8080/auth/link/")
    assert first["sign_in_url"] != second["sign_in_url"]
    assert len(stored(state, "select * from sign_in_links")) == 1
    portal("create-operator", "--email", "ann@example.com", "--role", "read-only", "--name", "Ann")
    assert stored(state, "select email, role, name from operators") == [("ann@example.com", "read_only", "Ann")]


def test_a_link_uses_the_public_address(portal: Portal) -> None:
    made = told(portal(*ANN, "--json", PORTAL_PUBLIC_URL="https://portal.example.com/"))

    assert made["sign_in_url"].startswith("https://portal.example.com/auth/link/")


def test_a_password_from_standard_input_needs_no_link(portal: Portal, state: Path) -> None:
    made = told(portal(*ANN, "--password-stdin", "--json", stdin="a long password\nmore\n"))

    assert made == {"email": "ann@example.com", "sign_in_url": "http://127.0.0.1:8080/admin/login"}
    ((stored_hash,),) = stored(state, "select password_hash from operators")
    assert stored_hash.startswith("$argon2id$")
    assert stored(state, "select * from sign_in_links") == []


def test_a_token_is_printed_once_and_stored_as_a_hash(portal: Portal, state: Path) -> None:
    made = told(portal("create-token", "--name", "ci", "--role", "read_only", "--days", "3", "--json"))

    assert list(made) == ["token"]
    assert made["token"].startswith("pat_")
    ((name, role, hint),) = stored(state, "select name, role, hint from api_tokens")
    assert (name, role, hint) == ("ci", "read_only", made["token"][-4:])
    assert made["token"].encode() not in (state / "portal.db").read_bytes()


def test_an_operator_can_be_disabled(portal: Portal) -> None:
    portal(*ANN)
    disable = ("disable-operator", "--email", "ANN@example.com", "--json")

    assert told(portal(*disable)) == {"email": "ann@example.com", "change": "disabled"}
    assert told(portal(*disable))["change"] == "unchanged"


def test_an_operator_can_be_unbound_from_the_identity_provider(portal: Portal, state: Path) -> None:
    portal(*ANN)
    with sqlite3.connect(state / "portal.db") as connection:
        connection.execute("update operators set oidc_issuer = 'https://provider.example', oidc_subject = 'person-1'")
    unbind = ("create-operator", "--email", "ANN@example.com", "--unbind", "--json")

    assert told(portal(*unbind)) == {"email": "ann@example.com", "change": "unbound"}
    assert told(portal(*unbind))["change"] == "unchanged"
    assert stored(state, "select role, oidc_issuer, oidc_subject from operators") == [("owner", None, None)]
    with sqlite3.connect(state / "portal.db") as connection:
        connection.execute("update operators set oidc_issuer = 'https://provider.example', oidc_subject = 'person-1'")
    assert "sign_in_url" in told(portal(*unbind, "--role", "read-only"))
    assert stored(state, "select role, oidc_subject from operators") == [("read_only", None)]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("create-operator", "--email", "ann", "--role", "owner"), 2, "--email: This is not an e-mail address."),
        ((*ANN, "--password-stdin"), 2, "--password-stdin: A password has 12 to 256 characters."),
        (("create-operator", "--email", "ann@example.com", "--role", "king"), 2, "Invalid value"),
        (("create-operator", "--email", "ann@example.com"), 2, "--role: What they may do is missing"),
        (("create-operator", "--email", "ann@example.com", "--unbind", "--name", "Ann"), 2, "--role: What they may do"),
        (("create-operator", "--email", "bob@example.com", "--unbind"), 2, "There is no operator bob@example.com."),
        (("disable-operator", "--email", "bob@example.com"), 2, "There is no operator bob@example.com."),
        (("create-token", "--name", " ", "--role", "owner"), 2, "--name: A name has 1 to 100 characters."),
        (("create-token", "--name", "ci", "--role", "owner", "--days", "0"), 2, "--days: A token is good for 1 to"),
    ],
)
def test_an_error_is_one_line_or_one_object(
    portal: Portal, arguments: tuple[str, ...], exit_code: int, message: str
) -> None:
    plain = portal(*arguments, stdin="short\n")
    assert (plain[0], plain[1], plain[2].count("\n")) == (exit_code, "", 1)
    as_json = portal(*arguments, "--json", stdin="short\n")
    problem = json.loads(as_json[2])
    assert list(problem) == ["errorCode", "message", "detail"]
    assert problem["message"].startswith(message)


def test_the_doctor_warns_when_production_has_no_operator(portal: Portal) -> None:
    production = {"PORTAL_ENVIRONMENT": "production", "PORTAL_SECRET_KEY": STRONG_SECRET}
    portal("migrate", **production)

    status, detail = checks(portal("doctor", "--json", **production))["operators"]
    assert (status, "portal create-operator" in detail) == ("warning", True)
    portal(*ANN, **production)
    assert checks(portal("doctor", "--json", **production))["operators"][0] == "ok"


@pytest.mark.processes
def test_the_doctor_asks_the_identity_provider(portal: Portal) -> None:
    with provider_process() as provider:
        configured = {
            "PORTAL_OIDC_ISSUER": provider.issuer,
            "PORTAL_OIDC_CLIENT_ID": CLIENT_ID,
            "PORTAL_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        }
        status, detail = checks(portal("doctor", "--json", **configured))["identity_provider"]
        assert (status, "may let nobody in" in detail) == ("warning", True)
        configured["PORTAL_OIDC_ALLOWED_DOMAINS"] = "example.com"
        status, detail = checks(portal("doctor", "--json", **configured))["identity_provider"]
        assert (status, "/auth/callback" in detail) == ("ok", True)
        ran = portal("doctor", "--json", **{**configured, "PORTAL_OIDC_CLIENT_SECRET": "another secret"})
        status, detail = checks(ran)["identity_provider"]
        assert (ran[0], status, "compare oidc_client_id and PORTAL_OIDC_CLIENT_SECRET" in detail) == (
            1,
            "failure",
            True,
        )
        assert "another secret" not in ran[1] + ran[2]
        provider.stop()
        ran = portal("doctor", "--json", **configured)
        assert (ran[0], checks(ran)["identity_provider"][0]) == (1, "failure")
    half = portal("doctor", "--json", PORTAL_OIDC_ISSUER="https://provider.example")
    assert checks(half)["identity_provider"][0] == "failure"
    assert checks(portal("doctor", "--json"))["identity_provider"][0] == "ok"


def test_a_tenant_gets_a_sign_in_link_that_is_stored_as_a_hash(portal: Portal, state: Path) -> None:
    told(portal("add-tenant", "--name", "Acme", "--slug", "acme", "--json"))
    public = {"PORTAL_PUBLIC_URL": "https://portal.example.com/"}
    made = told(portal("sign-in-link", "--tenant", " ACME", "--json", **public))
    assert made.keys() == {"tenant", "sign_in_url", "expires_at"}
    assert made["tenant"] == "acme"
    start, _, token = made["sign_in_url"].rpartition("/")
    assert start == "https://portal.example.com/sign-in"
    ((stored_hash,),) = stored(state, "SELECT token_hash FROM tenant_sign_in_links")
    assert (len(stored_hash), token.encode() in stored_hash) == (32, False)
    assert "within 60 minutes" in portal("sign-in-link", "--tenant", "acme")[1]
    events = stored(state, "SELECT event_type FROM platform_events WHERE event_type = 'sign_in_link_created'")
    assert len(events) == 2
    assert portal("sign-in-link", "--tenant", "nobody")[0] != 0


@pytest.mark.parametrize(
    ("environment", "origins", "status", "told_of"),
    [
        ("development", None, "ok", "http://localhost:3000"),
        ("production", None, "ok", "none: only pages at https://portal.example.com"),
        ("production", "https://my.example.com", "ok", "https://my.example.com may call"),
        ("production", "https://my.example.com, http://localhost:3000", "warning", "whatever runs on the computer"),
        ("production", "http://[::1]:3000", "warning", "whatever runs on the computer"),
        ("production", "http://my.example.com", "warning", "is not https"),
    ],
)
def test_the_doctor_says_whose_pages_are_trusted(
    portal: Portal, environment: str, origins: str | None, status: str, told_of: str
) -> None:
    variables = {"PORTAL_ENVIRONMENT": environment, "PORTAL_SECRET_KEY": STRONG_SECRET}
    variables |= {"PORTAL_PUBLIC_URL": "https://portal.example.com"}
    variables |= {} if origins is None else {"PORTAL_ALLOWED_ORIGINS": origins}

    found = checks(portal("doctor", "--json", **variables))["allowed_origins"]

    assert (found[0], told_of in found[1]) == (status, True), found
