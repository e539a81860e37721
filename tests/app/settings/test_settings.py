"""Settings: each explained, each wrong one named in one line, no secret that is not one."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.databases import is_setting

from app.clock import CLOCKS_DIFFER, is_held
from app.errors import SettingsError
from app.services.billing.pages import return_url
from app.services.idempotency import hold_seconds
from app.services.payments.checkouts import asking_seconds
from app.services.tenants.sign_in_links import front_end_url
from app.settings import Settings, load_settings
from app.settings.files import toml_files

# Never in the file: where secrets and what belongs to one machine come from.
NOT_IN_THE_FILE = {
    "environment",
    "state_dir",
    "secret_key",
    "database_url",
    "database_pooler",
    "smtp_url",
    "message_provider_url",
    "redis_url",
    "oidc_client_secret",
    "stripe_secret_key",
    "stripe_webhook_secret",
    "openai_api_key",
    "anthropic_api_key",
    "google_api_key",
    "openai_base_url",
    "anthropic_base_url",
    "google_base_url",
}
GOOD_SECRET = "0123456789abcdefghijABCDEFGHIJKLMNOP"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables nor a sanic.toml of the machine."""
    for name in list(os.environ):
        if is_setting(name):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def wrong(**explicit: Any) -> SettingsError:
    """The error that these settings meet."""
    with pytest.raises(SettingsError) as refused:
        load_settings(**explicit)
    assert "\n" not in str(refused.value)
    return refused.value


def test_the_file_has_every_public_setting_and_nothing_else() -> None:
    assert tomllib.loads(toml_files()[0].read_text()).keys() == Settings.model_fields.keys() - NOT_IN_THE_FILE


def test_every_setting_in_the_file_has_a_comment() -> None:
    """Neighbours without an empty line between them share one."""
    blocks = toml_files()[0].read_text().split("\n\n")

    explained = {
        key: block.startswith("#") for block in blocks for key in re.findall(r"^(\w+) =", block, flags=re.MULTILINE)
    }

    assert explained == dict.fromkeys(Settings.model_fields.keys() - NOT_IN_THE_FILE, True)


def test_explicit_values_win_over_the_environment_over_secret_files_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for key in ("port", "host", "workers"):
        (folder / f"PORTAL_{key.upper()}").write_text("7\n")
    monkeypatch.setenv("PORTAL_SECRETS_DIR", str(folder))
    monkeypatch.setenv("PORTAL_PORT", "8")
    monkeypatch.setenv("PORTAL_HOST", "8")

    settings = load_settings(state_dir=tmp_path, host="9")

    assert (settings.host, settings.port, settings.workers, settings.time_zone) == ("9", 8, 7, "UTC")


def test_an_own_file_wins_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "sanic.toml").write_text("port = 9000\n")

    settings = load_settings(state_dir=tmp_path)

    assert (settings.port, settings.host) == (9000, "127.0.0.1")


def test_a_named_file_is_used_and_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("port = 9001\n")
    monkeypatch.setenv("PORTAL_CONFIG_FILE", str(own))
    assert load_settings(state_dir=tmp_path).port == 9001
    own.unlink()

    error = wrong(state_dir=tmp_path)

    assert error.values["key"] == "PORTAL_CONFIG_FILE"


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "PORTAL_SECRET_KEY").write_text(GOOD_SECRET + "\n")
    monkeypatch.setenv("PORTAL_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("PORTAL_ENVIRONMENT", "production")

    assert load_settings(state_dir=tmp_path).secret_key.get_secret_value() == GOOD_SECRET


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "google"])
def test_a_providers_key_and_address_have_the_names_that_its_own_library_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: str
) -> None:
    assert getattr(load_settings(state_dir=tmp_path), f"{vendor}_base_url") == ""
    (tmp_path / f"{vendor}_api_key").write_text("from a file\n")
    monkeypatch.setenv("PORTAL_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv(f"PORTAL_{vendor.upper()}_API_KEY", "of no effect")
    assert getattr(load_settings(state_dir=tmp_path), f"{vendor}_api_key").get_secret_value() == "from a file"
    monkeypatch.setenv(f"{vendor.upper()}_API_KEY", "from the environment")
    monkeypatch.setenv(f"{vendor.upper()}_BASE_URL", "http://127.0.0.1:11434/v1")

    settings = load_settings(state_dir=tmp_path)

    assert getattr(settings, f"{vendor}_api_key").get_secret_value() == "from the environment"
    assert getattr(settings, f"{vendor}_base_url") == "http://127.0.0.1:11434/v1"
    assert "from the environment" not in repr(settings)


@pytest.mark.parametrize("address", ["localhost:11434", "ftp://models.example", "https://", "https://me:hidden@models"])
def test_a_wrong_address_of_a_provider_is_named_as_it_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    monkeypatch.setenv("GOOGLE_BASE_URL", address)

    error = wrong(state_dir=tmp_path)

    assert (error.values["key"], error.values["variable"]) == ("google_base_url", "GOOGLE_BASE_URL")
    assert "hidden" not in str(error)


@pytest.mark.parametrize(
    ("explicit", "key", "words"),
    [
        ({"port": 70000}, "port", "65535"),
        ({"port": "eighty"}, "port", "integer"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "IANA"),
        ({"time_zone": "UTC+5"}, "time_zone", "IANA"),
        ({"time_zone": "../../etc/passwd"}, "time_zone", "IANA"),
        ({"time_zone": ""}, "time_zone", "IANA"),
        ({"rollup_check_cron": "every night"}, "rollup_check_cron", "cron"),
        ({"retention_cron": "61 * * * *"}, "retention_cron", "cron"),
        ({"database_url": "mysql://root:hidden@db/portal"}, "database_url", "postgresql+asyncpg://"),
        ({"database_url": "postgresql://u:hidden@db/portal"}, "database_url", "postgresql+asyncpg://"),
        ({"database_url": "nonsense hidden"}, "database_url", "sqlite+aiosqlite:///"),
        ({"public_url": "https://host.example/portal"}, "public_url", "a host name of its own"),
        ({"public_url": "https://host.example//"}, "public_url", "a host name of its own"),
        ({"log_level": "loud"}, "log_level", "debug"),
        ({"environment": "staging"}, "environment", "production"),
        ({"unheard_of": 1}, "unheard_of", "not a setting"),
        ({"coalesce_batch_size": 0}, "coalesce_batch_size", "1"),
        ({"usage_past_days": 400}, "usage_past_days", "usage_retention_months"),
        ({"graphql_cost_per_minute": 4999}, "graphql_max_cost", "at most graphql_cost_per_minute"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_named_in_one_line(tmp_path: Path, explicit: dict[str, Any], key: str, words: str) -> None:
    error = wrong(state_dir=tmp_path, **explicit)

    assert (error.values["key"], error.values["variable"]) == (key, f"PORTAL_{key.upper()}")
    assert words in str(error)
    assert "hidden" not in str(error)


def test_an_unknown_key_in_an_own_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "sanic.toml").write_text("prot = 9000\n")

    assert wrong(state_dir=tmp_path).values["key"] == "prot"


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "sanic.toml").write_text("port 9000\n")

    assert wrong(state_dir=tmp_path).values["key"] == "sanic.toml"


@pytest.mark.parametrize("secret", ["", "tooshrt", "changeme" * 5, "a-placeholder-that-is-long-enough-to-pass"])
def test_production_refuses_a_secret_that_is_not_one(tmp_path: Path, secret: str) -> None:
    error = wrong(state_dir=tmp_path, environment="production", secret_key=secret)

    assert (error.values["key"], error.values["variable"]) == ("secret_key", "PORTAL_SECRET_KEY")
    assert not secret or secret not in str(error)
    assert not (tmp_path / "secret_key").exists()


def test_production_takes_a_secret(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path, environment="production", secret_key=GOOD_SECRET)

    assert settings.secret_key.get_secret_value() == GOOD_SECRET


def test_production_refuses_to_lift_the_limits(tmp_path: Path) -> None:
    error = wrong(state_dir=tmp_path, environment="production", secret_key=GOOD_SECRET, rate_limits="off")

    assert error.values["key"] == "rate_limits"


def test_nobody_waits_for_a_turn_longer_than_a_request_may_take(tmp_path: Path) -> None:
    error = wrong(state_dir=tmp_path, device_wait_seconds=30)

    assert error.values["key"] == "device_wait_seconds"


def test_no_setting_lets_a_hold_last_longer_than_one_is_believed(tmp_path: Path) -> None:
    longest = {"response_timeout_seconds": 1160, "stripe_timeout_seconds": 120, "stripe_retries": 5}
    settings = load_settings(state_dir=tmp_path, **longest)

    error = wrong(state_dir=tmp_path, **longest | {"response_timeout_seconds": 1161})

    assert error.values["key"] == "response_timeout_seconds"
    # Also by whoever's clock stands behind the holder's.
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds in (hold_seconds(settings), asking_seconds(settings)):
        assert is_held(now + CLOCKS_DIFFER + timedelta(seconds=seconds), now)


def test_development_makes_a_secret_once_and_keeps_it_to_itself(tmp_path: Path) -> None:
    state = tmp_path / "state"

    first, second = (load_settings(state_dir=state).secret_key.get_secret_value() for _ in range(2))

    assert first == second
    assert len(first) >= 32
    kept = state / "secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [path.name for path in state.iterdir()] == ["secret_key"]


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    program = "import app.settings as s; print(s.load_settings().secret_key.get_secret_value())"
    environment = {**os.environ, "PORTAL_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    said = {process.communicate()[0] for process in started}

    assert len(said) == 1
    assert len(said.pop().strip()) >= 32


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    error = wrong(state_dir=tmp_path / "file" / "state")

    assert error.values["key"] == "state_dir"


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_without_a_database_url_the_state_folder_holds_it(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)

    assert settings.database.database == f"{tmp_path}/portal.db"
    assert settings.worker_count == 1


@pytest.mark.parametrize(
    ("given", "count", "workers_work"),
    [("auto", 1, False), ("0", 0, True), ("elsewhere", 0, False), (" 3 ", 3, False)],
)
def test_background_work_has_processes_of_its_own_or_the_workers_do_it_or_other_hosts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, count: int, workers_work: bool
) -> None:
    monkeypatch.setenv("PORTAL_WORK_PROCESSES", given)

    settings = load_settings(state_dir=tmp_path)

    assert (settings.work_process_count, settings.workers_work) == (count, workers_work)


@pytest.mark.parametrize("given", ["65", "-1", "here", "", 1.5, True])
def test_a_wrong_number_of_work_processes_is_refused(tmp_path: Path, given: object) -> None:
    error = wrong(state_dir=tmp_path, work_processes=given)

    assert str(error) == "Setting work_processes: must be auto, elsewhere or a number from 0 to 64."


@pytest.mark.parametrize("port", ["port", "54 32"])
def test_a_database_address_that_cannot_be_read_is_named_when_it_is_needed(tmp_path: Path, port: str) -> None:
    settings = load_settings(state_dir=tmp_path, database_url=f"postgresql+asyncpg://portal:hidden@db:{port}/portal")

    with pytest.raises(SettingsError) as refused:
        settings.database  # noqa: B018 - reading it is what raises

    assert refused.value.values["variable"] == "PORTAL_DATABASE_URL"
    assert "hidden" not in str(refused.value)


def test_lists_may_be_written_with_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTAL_ALLOWED_ORIGINS", "https://a.example, HTTPS://B.example:8443,")

    assert load_settings(state_dir=tmp_path).allowed_origins == ("https://a.example", "https://b.example:8443")


@pytest.mark.parametrize("written", [None, "", " , "])
def test_production_trusts_no_page_of_this_machine_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str | None
) -> None:
    if written is not None:
        monkeypatch.setenv("PORTAL_ALLOWED_ORIGINS", written)
    production = {"environment": "production", "secret_key": "s" * 40, "public_url": "https://portal.example.com"}

    developing, strict = load_settings(state_dir=tmp_path), load_settings(state_dir=tmp_path, **production)

    assert (developing.allowed_origins[0], len(developing.allowed_origins)) == ("http://localhost:3000", 9)
    assert (strict.allowed_origins, strict.trusted_origins) == ((), frozenset({"https://portal.example.com"}))
    # Where payments and sign-in links lead back to is no page of the reader's own computer either.
    assert return_url(strict) == "https://portal.example.com/billing"
    assert front_end_url(strict) == "https://portal.example.com/login"
    named = load_settings(state_dir=tmp_path, **production, allowed_origins="http://localhost:3000")
    assert named.allowed_origins == ("http://localhost:3000",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_file_as_an_editor_on_windows_saves_it_is_read_or_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "sanic.toml").write_bytes('mail_from_name = "M\u00fcller"\r\n'.encode(encoding))

    if encoding == "utf-8-sig":
        assert load_settings(state_dir=tmp_path).mail_from_name == "M\u00fcller"
    else:
        assert (
            str(wrong(state_dir=tmp_path)) == "Setting sanic.toml: sanic.toml is not text in UTF-8; save it as UTF-8."
        )


def test_blanks_and_line_ends_around_a_value_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"ENVIRONMENT": "development ", "HOST": "127.0.0.1\r\n", "PORT": " 9000", "LOG_LEVEL": "debug\n"}
    given |= {"TIME_ZONE": "UTC ", "WORK_PROCESSES": "2 ", "DATABASE_URL": "postgresql+asyncpg://db/portal \r\n"}
    given |= {"PUBLIC_URL": "\ufeffhttps://portal.example ", "STATE_DIR": f"{tmp_path} ", "ACCESS_LOG": "true\r"}
    for name, value in given.items():
        monkeypatch.setenv(f"PORTAL_{name}", value)
    monkeypatch.setenv("OPENAI_API_KEY", "key\r\n")

    settings = load_settings()

    assert (settings.environment, settings.host, settings.port) == ("development", "127.0.0.1", 9000)
    assert (settings.log_level, settings.time_zone, settings.work_process_count) == ("debug", "UTC", 2)
    assert (settings.database.database, settings.public_url) == ("portal", "https://portal.example")
    assert (settings.state_dir, settings.access_log) == (tmp_path, True)
    assert settings.openai_api_key.get_secret_value() == "key"


def test_a_secret_key_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is stored can be read with the same key only."""
    monkeypatch.setenv("PORTAL_SECRET_KEY", f"{GOOD_SECRET} ")

    assert load_settings(state_dir=tmp_path).secret_key.get_secret_value() == f"{GOOD_SECRET} "
