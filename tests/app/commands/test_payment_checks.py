"""What the doctor says of payments, and moving Stripe's simulator from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.databases import settings_for
from support.stripe import elsewhere

from app.__main__ import main
from app.commands.payment_checks import payments

NOWHERE = "sqlite+aiosqlite:////nowhere/portal.db"
STRONG = "k7Qm2vX9pR4tW8zB1nC6dF3gH5jL0sYa"
ACCOUNT = (200, {"id": "acct_1", "object": "account", "business_profile": {"name": "Acme"}})
UPDATE = {"enabled": True, "default_allowed_updates": ["price"]}


def portal(update: dict[str, Any]) -> tuple[int, Any]:
    configuration = {
        "id": "bpc_1",
        "object": "billing_portal.configuration",
        "features": {"subscription_update": update},
    }
    return 200, {"object": "list", "data": [configuration], "has_more": False, "url": "/v1/x"}


async def found(folder: Path, **settings: Any) -> list[tuple[str, str, str]]:
    results = [each async for each in payments(settings_for(NOWHERE, folder, **settings))]
    return [(each.check, each.status, each.detail) for each in results]


def said(results: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(name, status) for name, status, _ in results]


async def test_development_is_simulated_and_production_without_a_key_is_warned(tmp_path: Path) -> None:
    simulated = await found(tmp_path)
    nothing = await found(tmp_path, environment="production", secret_key=STRONG)

    assert said(simulated) == [("payments", "ok")]
    assert "/dev/stripe" in simulated[0][2]
    assert said(nothing) == [("payments", "warning")]
    assert "PORTAL_STRIPE_SECRET_KEY" in nothing[0][2]


@pytest.mark.parametrize(
    ("key", "environment", "status", "word"),
    [
        ("sk_test_1", "development", "ok", "test mode"),
        ("sk_live_1", "development", "warning", "real money"),
        ("sk_test_1", "production", "warning", "no money"),
        ("rk_live_1", "production", "ok", "live mode"),
    ],
)
async def test_the_mode_of_the_key_is_told(tmp_path: Path, key: str, environment: str, status: str, word: str) -> None:
    async with elsewhere(ACCOUNT, portal(UPDATE)) as there:
        results = await found(
            tmp_path,
            environment=environment,
            secret_key=STRONG,
            stripe_secret_key=key,
            stripe_api_base=there.base,
            stripe_webhook_secret="whsec_1, whsec_2",
        )

    assert said(results) == [("payments", status), ("plan_changes", "ok"), ("webhook", "ok")]
    assert word in results[0][2]
    assert "Acme" in results[0][2]
    assert key not in str(results)


async def test_what_is_missing_at_stripe_is_named(tmp_path: Path) -> None:
    async with elsewhere(ACCOUNT, portal({"enabled": False, "default_allowed_updates": []})) as there:
        results = await found(tmp_path, stripe_secret_key="sk_test_1", stripe_api_base=there.base)
    async with elsewhere((401, {"error": {"message": "Invalid API Key"}})) as there:
        refused = await found(
            tmp_path, stripe_secret_key="sk_test_1", stripe_api_base=there.base, stripe_webhook_secret="secret"
        )
    silent = await found(
        tmp_path, stripe_secret_key="sk_test_1", stripe_api_base="http://127.0.0.1:9", stripe_retries=0
    )
    wrong = await found(tmp_path, stripe_secret_key="pk_test_1")

    assert said(results) == [("payments", "ok"), ("plan_changes", "warning"), ("webhook", "failure")]
    assert "PORTAL_STRIPE_WEBHOOK_SECRET" in results[2][2]
    assert said(refused) == [("payments", "failure"), ("webhook", "failure")]
    assert said(silent) == [("payments", "warning"), ("webhook", "failure")]
    assert "refused with 503" in silent[0][2]
    assert said(wrong) == [("payments", "failure")]


def test_the_simulator_is_moved_from_the_command_line(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTAL_DATABASE_URL", database)
    monkeypatch.setenv("PORTAL_STATE_DIR", str(tmp_path))
    told: list[dict[str, Any]] = []
    for days in ("31", "1"):
        monkeypatch.setattr(sys, "argv", ["portal", "stripe", "advance", "--days", days, "--json"])
        assert main() == 0
        told.append(json.loads(capsys.readouterr().out))
    monkeypatch.setattr(sys, "argv", ["portal", "stripe", "advance", "--days", "401"])
    too_far = main()
    monkeypatch.setenv("PORTAL_STRIPE_SECRET_KEY", "sk_test_1")
    monkeypatch.setattr(sys, "argv", ["portal", "stripe", "advance", "--days", "1", "--json"])
    refused = main()

    assert [each["seconds_ahead"] for each in told] == [31 * 86_400, 32 * 86_400]
    assert (too_far, refused) != (0, 0)
    assert "simulator_missing" in capsys.readouterr().err
