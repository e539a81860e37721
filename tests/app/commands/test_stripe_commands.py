"""Comparing with Stripe, from the command line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from app.__main__ import main

Portal = Callable[..., tuple[int, str]]


@pytest.fixture
def portal(
    state: object, empty_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Portal]:
    """Runs a command on an empty database, once on each kind; answers its exit code and what it prints."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setenv("PORTAL_DATABASE_URL", empty_database)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["portal", *arguments])
        capsys.readouterr()
        exit_code = main()
        return exit_code, capsys.readouterr().out

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_what_differs_from_stripe_is_named_and_is_a_failure(portal: Portal) -> None:
    same = portal("stripe", "reconcile", "--dry-run")
    portal("link-sub", "--tenant", "demo", "--plan", "Pro", "--customer", "cus_gone")

    exit_code, shown = portal("stripe", "reconcile", "--dry-run", "--json")

    assert same == (0, "0 customers are here as they are at Stripe.\n")
    found = json.loads(shown)
    assert (exit_code, found["customers"], found["failures"]) == (1, 1, [])
    (difference,) = found["differences"]
    named = (difference["tenant"], difference["kind"], difference["id"], difference["is_repaired"])
    assert named == ("demo", "customer", "cus_gone", False)
    exit_code, shown = portal("stripe", "reconcile", "--tenant", "demo")
    assert (exit_code, "cus_gone" in shown) == (1, True)
