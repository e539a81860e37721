"""What the doctor says of mail and messages, and settings that name no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.databases import settings_for
from support.smtp import free_port, smtp_elsewhere

from app.commands.checks import CheckResult, mail, messages
from app.errors import SettingsError

NOWHERE = "sqlite+aiosqlite:////nowhere/portal.db"
STRONG = "k7Qm2vX9pR4tW8zB1nC6dF3gH5jL0sYa"


async def found(folder: Path, **settings: Any) -> CheckResult:
    return await mail(settings_for(NOWHERE, folder, **settings))


async def test_development_keeps_its_mail(tmp_path: Path) -> None:
    finding = await found(tmp_path)

    assert finding.status == "ok"
    assert "/dev/mailbox" in finding.detail


async def test_production_without_a_server_is_warned(tmp_path: Path) -> None:
    finding = await found(tmp_path, environment="production", secret_key=STRONG)

    assert finding.status == "warning"
    assert "PORTAL_SMTP_URL" in finding.detail


async def test_a_server_that_answers_is_fine_and_gets_nothing(tmp_path: Path) -> None:
    async with smtp_elsewhere() as post:
        url = f"smtp://127.0.0.1:{post.port}"
        good = await found(tmp_path, smtp_url=url)
        unlikely = await found(tmp_path, smtp_url=url, environment="production", secret_key=STRONG)

    assert (good.status, unlikely.status, post.arrived) == ("ok", "warning", [])
    assert "PORTAL_MAIL_FROM" in unlikely.detail


async def test_a_server_that_is_away_or_refuses_us_is_a_failure(tmp_path: Path) -> None:
    async with smtp_elsewhere(with_password=True) as post:
        refused = await found(tmp_path, smtp_url=f"smtp://user:wrong@127.0.0.1:{post.port}")
    away = await found(tmp_path, smtp_url=f"smtp://127.0.0.1:{free_port()}")

    assert (refused.status, away.status) == ("failure", "failure")
    assert "535" in refused.detail
    assert "wrong" not in refused.detail


def test_a_provider_is_optional(tmp_path: Path) -> None:
    told = [
        messages(settings_for(NOWHERE, tmp_path, message_provider_url=url)).detail for url in ("", "https://sms.test/")
    ]

    assert told == [
        "no SMS or WhatsApp: PORTAL_MESSAGE_PROVIDER_URL is not set",
        "SMS and WhatsApp go to the provider",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("smtp_url", "mail.example.com:25"),
        ("smtp_url", "http://mail.example.com"),
        ("smtp_url", "smtp://mail.example.com:many"),
        ("message_provider_url", "smtp://mail.example.com"),
        ("message_provider_url", "https://"),
    ],
)
def test_an_address_that_is_none_is_refused_by_name(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_for(NOWHERE, tmp_path, **{key: value})

    assert refused.value.values["key"] == key
    # It may hold a password.
    assert "example" not in str(refused.value)
