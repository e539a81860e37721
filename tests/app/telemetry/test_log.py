"""Logs: one event a line, and never what a traceback's variables hold."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from support.databases import settings_for

from app.telemetry.log import CAPPED_LOGGERS, TALKATIVE_LOGGERS, configure_logging
from app.telemetry.request_address import told_address


@pytest.fixture(autouse=True)
def quiet_afterwards(tmp_path: Path) -> Iterator[None]:
    yield
    configure_logging(settings_for("", tmp_path))


def fail_with(activation_code: str) -> None:
    raise RuntimeError("it failed")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_logged_fault_shows_no_variables(log_format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings_for("", tmp_path, log_format=log_format))
    secret = "SECR-ETCO-DETO-KEEP"

    try:
        fail_with(secret)
    except RuntimeError as failure:
        structlog.get_logger("tests").error("request_failed", exc_info=failure)

    written = capsys.readouterr().err
    assert "it failed" in written
    assert "fail_with" in written
    assert secret not in written


def test_as_json_an_event_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings_for("", tmp_path, log_format="json"))

    structlog.get_logger("tests").error("told", lines="one\ntwo", unknown=object)

    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["level"], event["lines"]) == ("told", "error", "one\ntwo")


def test_an_address_takes_nothing_out_of_json_but_from_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks chooses the address: a line could be no JSON any more, or an alarm not recognised by its name."""
    configure_logging(settings_for("", tmp_path, log_format="json"))
    secret, seen = "SECRET-0123456789-0123456789", "operator_sign_in_refused"

    for target in (f"/a?{secret}", '/a?","level":"', "/a?timestamp", f"/{seen}?{secret}"):
        token = told_address.set(target)
        structlog.get_logger("tests").error(seen, said=[f"of {secret}", {"in": secret}], fault=ValueError(secret))
        logging.getLogger("library").error("%s", secret)
        told_address.reset(token)
        ours, library = map(json.loads, capsys.readouterr().err.splitlines())
        assert (ours["event"], ours["level"], ours["timestamp"] is not None) == (seen, "error", True)
        assert (secret in f"{ours} {library}") == (secret not in target), target


@pytest.mark.parametrize(
    ("level", "heard"), [("debug", logging.DEBUG), ("info", logging.WARNING), ("error", logging.ERROR)]
)
def test_libraries_are_heard_where_everything_is_and_never_those_that_tell_secrets(
    level: str, heard: int, tmp_path: Path
) -> None:
    configure_logging(settings_for("", tmp_path, log_level=level))

    assert {logging.getLogger(name).getEffectiveLevel() for name in TALKATIVE_LOGGERS} == {heard}
    assert {logging.getLogger(name).getEffectiveLevel() for name in CAPPED_LOGGERS} == {max(heard, logging.WARNING)}
