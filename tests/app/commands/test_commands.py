"""The command line: names, shapes and exit codes; errors are one clear line."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Portal, Ran

from app.__main__ import COMMANDS, GROUPS
from app.commands.serve import _metrics_folder
from app.database.schema import head_revision
from app.settings import load_settings

STRONG_SECRET = "abcdefghijklmnopqrstuvwxyz0123456789ABCD"
PATIENCE_SECONDS = 30


def test_an_operator_goes_from_a_plan_to_a_revoked_code(stored: Portal) -> None:
    plan = ("seed-plan", "--name", "Basic", "--price-id", "price_b", "--quota", "7", "--max-devices", "2", "--json")
    assert stored(*plan).json == {
        "id": 4,
        "name": "Basic",
        "price_id": "price_b",
        "quota": 7,
        "max_devices": 2,
        "change": "created",
    }
    assert stored(*plan).json["change"] == "unchanged"

    tenant = ("add-tenant", "--name", "Acme", "--slug", "acme", "--email", "it@acme.example", "--json")
    assert stored(*tenant).json == {"id": 2, "name": "Acme", "slug": "acme", "change": "created", "subscription": None}
    assert stored(*tenant).json["change"] == "unchanged"
    link = ("link-sub", "--tenant", "acme", "--customer", "cus_1", "--sub", "sub_1", "--plan", "Basic", "--json")
    assert stored(*link).json["change"] == "created"
    linked = stored(*link).json
    assert (linked["change"], linked["state"], linked["customer"], linked["sub"]) == (
        "unchanged",
        "active",
        "cus_1",
        "sub_1",
    )

    codes = stored("gen-codes", "--tenant", "acme", "--count", "2", "--max-uses", "3", "--json").json
    assert list(codes) == ["codes"]
    assert [len(code) for code in codes["codes"]] == [19, 19]
    listed = stored("list-codes", "--tenant", "acme", "--json").json["codes"]
    assert [(code["hint"], code["status"], code["use_count"], code["max_uses"]) for code in listed] == [
        (codes["codes"][1][-4:], "active", 0, 3),
        (codes["codes"][0][-4:], "active", 0, 3),
    ]

    stored("revoke-code", "--tenant", "acme", "--code", codes["codes"][0].lower())
    revoked = stored("revoke-code", "--tenant", "acme", "--id", str(listed[0]["id"]), "--json").json
    assert (revoked["hint"], revoked["status"]) == (listed[0]["hint"], "revoked")
    listed = stored("list-codes", "--tenant", "acme", "--json").json["codes"]
    assert [code["status"] for code in listed] == ["revoked", "revoked"]


def test_add_tenant_with_a_plan_is_ready_for_codes(portal: Portal) -> None:
    added = portal("add-tenant", "--name", "Acme", "--slug", "acme", "--plan", "Starter", "--json").json
    assert (added["subscription"]["plan"], added["subscription"]["state"]) == ("Starter", "active")
    missing = portal("add-tenant", "--name", "Other", "--slug", "other", "--plan", "Nope")
    told = "There is no plan named Nope. Choose one of the existing plans: portal list-plans.\n"
    assert (missing.exit_code, missing.err) == (2, told)
    assert portal("gen-codes", "--tenant", "other").exit_code == 2


def test_blank_stripe_ids_are_nobodys(portal: Portal) -> None:
    for slug in ("one", "two"):
        portal("add-tenant", "--name", f" {slug} ", "--slug", slug)
        linked = portal("link-sub", "--tenant", slug, "--plan", "Pro", "--customer", "", "--sub", " ", "--json").json
        assert (linked["customer"], linked["sub"]) == (None, None)
    assert portal("add-tenant", "--name", "one", "--slug", "one", "--json").json["change"] == "unchanged"


def test_the_first_command_in_development_makes_the_database_and_its_demonstration(stored: Portal) -> None:
    ran = stored("gen-codes", "--tenant", "demo")
    assert ran.exit_code == 0
    assert ran.out.splitlines()[1] == "Keep it: it is not shown again."
    assert ran.err == ""


def test_list_codes_reads_every_page(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.pages.PAGE_SIZE", 3)
    portal("gen-codes", "--tenant", "demo", "--count", "7")
    ids = [code["id"] for code in portal("list-codes", "--tenant", "demo", "--json").json["codes"]]
    assert ids == [7, 6, 5, 4, 3, 2, 1]


def test_empty_lists_lead_on(portal: Portal) -> None:
    assert portal("list-codes", "--tenant", "demo").out == "No codes yet: portal gen-codes --tenant demo\n"
    assert "portal gen-codes --tenant demo" in portal("list-devices", "--tenant", "demo").out
    assert portal("list-devices", "--tenant", "demo", "--json").json == {"devices": []}


def test_keys_rotate_says_when_which_key_signs(stored: Portal) -> None:
    rotated = stored("keys", "rotate", "--json").json
    assert rotated["signs_from"] < rotated["old_keys_verify_until"]
    again = stored("keys", "rotate", "--compromised", "--json").json
    assert again["signs_from"] == again["old_keys_verify_until"]
    assert again["kid"] != rotated["kid"]


def test_migrate_says_from_where_to_where(stored: Portal) -> None:
    assert stored("migrate", "--json").json == {"before": None, "after": head_revision()}
    assert stored("migrate", "--json").json == {"before": head_revision(), "after": head_revision()}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("gen-codes", "--tenant", "nope"), 2, "tenant_not_found"),
        (("link-sub", "--tenant", "demo", "--plan", "Nope"), 2, "plan_not_found"),
        (("revoke-code", "--tenant", "demo", "--code", "AAAA"), 2, "activation_code_not_found"),
        (("revoke-code", "--tenant", "demo", "--code", "AAAA-BBBB-CCCC-DDDD"), 2, "activation_code_not_found"),
        (("revoke-device", "--tenant", "demo", "--device", "9"), 2, "device_not_found"),
        (("release-device", "--tenant", "demo", "--device", "9"), 2, "device_not_found"),
        (("reinstate-device", "--tenant", "demo", "--device", "9"), 2, "device_not_found"),
        (("revoke-device", "--tenant", "demo", "--device", "9" * 20), 2, "usage"),
        (("revoke-code", "--tenant", "demo", "--id", "9" * 20), 2, "usage"),
        (("release-device", "--tenant", "demo", "--device", "0x9"), 2, "usage"),
        (("revoke-device", "--tenant", "demo", "--device", "0_9"), 2, "usage"),
        (("revoke-code", "--tenant", "demo", "--id", "09"), 2, "usage"),
        (("cancel-run", "+9"), 2, "usage"),
        (("gen-codes", "--tenant", "demo", "--label", "\udcff"), 2, "usage"),
        (("add-tenant", "--name", "  ", "--slug", "blank"), 2, "validation_error"),
        (("seed-plan", "--name", " ", "--price-id", "price", "--quota", "1"), 2, "validation_error"),
        (("link-sub", "--tenant", "demo", "--plan", "Pro", "--sub", "s" * 256), 2, "validation_error"),
        (("revoke-code", "--tenant", "demo"), 2, "usage"),
        (("gen-codes",), 2, "usage"),
        (("gen-cods", "--tenant", "demo"), 2, "usage"),
        (("gen-codes", "--tenant", "demo", "--count", "many"), 2, "usage"),
        (("gen-codes", "--tenant", "demo", "--count", "0"), 2, "validation_error"),
        (("add-tenant", "--name", "Another", "--slug", "demo"), 1, "tenant_conflict"),
        (("demo", "--url", "http://127.0.0.1:9"), 1, "no_server"),
    ],
)
def test_an_error_is_one_line_or_one_object(
    portal: Portal, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    plain = portal(*arguments)
    assert (plain.exit_code, plain.out, plain.err.count("\n")) == (exit_code, "", 1)
    told = portal(*arguments, "--json")
    assert (told.exit_code, told.out) == (exit_code, "")
    problem = json.loads(told.err)
    assert list(problem) == ["errorCode", "message", "detail"]
    assert problem["errorCode"] == code


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"PORTAL_TIME_ZONE": "Mars"}, "Setting time_zone: 'Mars' is not an IANA time zone"),
        ({"PORTAL_STATE_DIR": "/proc/none"}, "Setting state_dir: "),
        ({"PORTAL_ENVIRONMENT": "production"}, "Setting secret_key: is missing"),
        ({"PORTAL_PUBLIC_URL": "portal.example.com"}, "Setting public_url: 'portal.example.com' is not an absolute"),
        ({"PORTAL_OIDC_ISSUER": "https://[id"}, "Setting oidc_issuer: 'https://[id' is not an absolute address"),
        ({"PORTAL_HOST": "nowhere.invalid"}, "Setting host: cannot listen on nowhere.invalid"),
    ],
)
def test_a_wrong_setting_keeps_the_server_away_in_one_line(
    portal: Portal, variables: dict[str, str], told: str
) -> None:
    ran = portal("serve", "--port", "0", **variables)
    assert (ran.exit_code, ran.out) == (1, "")
    assert ran.err.startswith(told)
    assert ran.err.count("\n") == 1


@pytest.mark.processes
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"PORTAL_ENVIRONMENT": "production", "PORTAL_SECRET_KEY": STRONG_SECRET},
            f"The database is at migration none, this version needs {head_revision()}. Run: portal migrate",
        ),
        (
            {"PORTAL_DATABASE_URL": "postgresql+asyncpg://postgres:hidden@127.0.0.1:9/portal"},
            "The database does not answer: ",
        ),
    ],
)
@pytest.mark.usefixtures("state")
def test_a_database_that_is_not_ready_keeps_the_server_away_in_one_line(variables: dict[str, str], told: str) -> None:
    command = [sys.executable, "-P", "-m", "app", "serve", "--port", "0"]
    ran = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(told)
    assert ran.stderr.count("\n") == 1
    assert "hidden" not in ran.stderr


def test_a_taken_port_is_named(portal: Portal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = portal("serve", "--port", str(port))
    assert (ran.exit_code, ran.err) == (
        1,
        f"Cannot listen on 127.0.0.1:{port}: another program does. Choose another port by --port.\n",
    )


def test_an_unexpected_error_shows_its_traceback_only_when_debugging(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise LookupError("secret=xyz")

    monkeypatch.setattr("app.commands.database.load_settings", broken)
    plain = portal("migrate")
    assert (plain.exit_code, plain.err) == (
        1,
        "Unexpected LookupError; run again with PORTAL_LOG_LEVEL=debug to see where\n",
    )
    assert "Traceback" in portal("migrate", PORTAL_LOG_LEVEL="debug").err


def test_an_interrupt_ends_silently(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.commands.database.load_settings", interrupted)
    assert portal("migrate") == Ran(130, "", "")


def test_help_names_every_command(portal: Portal) -> None:
    told = portal("--help")
    assert told.exit_code == 0
    assert [name for name in (*COMMANDS, *GROUPS) if name not in told.out] == []


def test_the_doctor_is_content_with_a_fresh_installation(stored: Portal) -> None:
    stored("migrate")
    report = stored("doctor", "--json").json
    assert report["ok"]
    assert {check["status"] for check in report["checks"]} == {"ok"}
    names = [check["check"] for check in report["checks"]]
    assert {"settings", "state_dir", "secret_key", "database", "schema", "signing_keys"} <= set(names)


@pytest.mark.parametrize(
    ("variables", "check", "told"),
    [
        ({"PORTAL_DATABSE_URL": "x"}, "PORTAL_DATABSE_URL", "did you mean PORTAL_DATABASE_URL?"),
        ({"PORTAL_PORT": "many"}, "port", "environment: PORTAL_PORT"),
        ({"PORTAL_CONFIG_FILE": "/none.toml"}, "PORTAL_CONFIG_FILE", "there is no file /none.toml"),
        ({"PORTAL_SECRET_KEY": STRONG_SECRET}, "secret_key", "is not the one that the stored signing keys"),
        ({"PORTAL_ENVIRONMENT": "production", "PORTAL_SECRET_KEY": "changeme" * 5}, "secret_key", "placeholder"),
        ({"PORTAL_DATABASE_URL": "postgresql+asyncpg://p:hidden@127.0.0.1:9/x"}, "database", "p:***@127.0.0.1:9/x"),
    ],
)
def test_the_doctor_names_the_wrong_setting(portal: Portal, variables: dict[str, str], check: str, told: str) -> None:
    portal("keys", "rotate")
    ran = portal("doctor", "--json", **variables)
    assert ran.exit_code == 1
    failures = [found for found in json.loads(ran.out)["checks"] if found["status"] == "failure"]
    assert [failure["check"] for failure in failures] == [check]
    assert told in failures[0]["detail"]


@pytest.mark.parametrize(
    ("variables", "is_told"),
    [({}, True), ({"PORTAL_PROXIES_COUNT": "1"}, False), ({"PORTAL_HOST": "0.0.0.0"}, False)],
)
def test_the_doctor_asks_who_stands_before_a_server_that_only_this_machine_reaches(
    portal: Portal, variables: dict[str, str], is_told: bool
) -> None:
    ran = portal("doctor", "--json", PORTAL_ENVIRONMENT="production", PORTAL_SECRET_KEY=STRONG_SECRET, **variables)

    assert ("proxies_count" in [found["check"] for found in json.loads(ran.out)["checks"]]) == is_told


def test_the_doctor_names_an_unknown_key_of_the_file(portal: Portal, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("worker = 2\n")
    ran = portal("doctor", PORTAL_CONFIG_FILE=str(own))
    assert ran.exit_code == 1
    assert "failure  worker: is not a setting of the portal; did you mean workers?" in ran.out


def test_the_doctor_counts_connections(portal: Portal, postgres_databases: Any, tmp_path: Path) -> None:
    with postgres_databases.fresh(tmp_path) as address:
        many = portal("doctor", PORTAL_DATABASE_URL=address, PORTAL_WORKERS="40")
    assert many.exit_code == 1
    assert "failure  connections: 40 workers x 15 + 1 work processes x 15 = 615 of the server's" in many.out
    assert "ok       work: no process works now, and no errand is late" in many.out


def test_the_doctor_wants_a_closed_state_folder_in_production(portal: Portal, state: Path) -> None:
    portal("keys", "rotate", PORTAL_SECRET_KEY=STRONG_SECRET)
    state.chmod(0o755)
    ran = portal("doctor", PORTAL_ENVIRONMENT="production", PORTAL_SECRET_KEY=STRONG_SECRET)
    assert ran.exit_code == 1
    assert "failure  state_dir" in ran.out
    assert "chmod 700" in ran.out


def test_the_state_folder_is_closed_whatever_makes_it(portal: Portal, state: Path) -> None:
    production = {"PORTAL_ENVIRONMENT": "production", "PORTAL_SECRET_KEY": STRONG_SECRET}
    portal("migrate", **production)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert "ok       state_dir" in portal("doctor", **production).out

    other = state.parent / "other"
    with _metrics_folder(load_settings(state_dir=other)) as folder:
        assert folder.is_dir()
        assert stat.S_IMODE(other.stat().st_mode) == 0o700


@pytest.mark.processes
def test_demo_plays_the_journey_on_a_server_of_its_own(portal: Portal) -> None:
    report = portal("demo", "--json", PORTAL_PUBLIC_URL="http://127.0.0.1:9").json
    assert report["ok"]
    names = [step["name"] for step in report["steps"]]
    assert [name for name in names if name != "task"] == [
        "plan",
        "tenant",
        "code",
        "activation",
        "policy",
        "heartbeat",
        "usage events",
        "usage",
        "refresh",
        "second device",
        "sign-in",
        "project",
        "project code",
        "run",
        "run ended",
        "download",
    ]
    by_name = {step["name"]: step["answered"] for step in report["steps"]}
    assert by_name["second device"].startswith("403 errorCode=device_limit_reached")
    assert by_name["run ended"] == f"completed, {names.count('task')} of {names.count('task')} tasks"
    assert " files in " in by_name["download"]
