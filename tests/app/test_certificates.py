"""Whom HTTP clients trust is read once in a process: reading it stops every thread for tens of milliseconds."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.databases import settings_for
from support.messages import message_provider

from app import certificates
from app.access.identity_provider import IdentityProvider
from app.clock import SystemClock
from app.errors import PaymentsUnavailableError, SignInUnavailableError
from app.messages.messenger import messenger_for
from app.providers.stripe import StripeGateway
from app.providers.wire import metered_client


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often authorities were read, and how many clients were made."""
    counts = {"authorities": 0, "clients": 0}
    # What httpx2 speaks HTTP with, and brings along.
    core = import_module("httpcore2")
    read, make = core.default_ssl_context, httpx2.AsyncClient.__init__

    def reading(**options: Any) -> Any:
        counts["authorities"] += 1
        return read(**options)

    def making(*args: Any, **options: Any) -> None:
        counts["clients"] += 1
        make(*args, **options)

    monkeypatch.setattr(core, "default_ssl_context", reading)
    monkeypatch.setattr(httpx2.AsyncClient, "__init__", making)
    certificates._read.cache_clear()
    return counts


async def test_all_clients_of_a_process_read_the_authorities_once(tmp_path: Path, counted: dict[str, int]) -> None:
    async with message_provider() as provider:
        settings = settings_for("", tmp_path, message_provider_url=provider.url)
        messenger = messenger_for(settings)
        for number in range(3):
            await messenger.send("sms", f"+{number}", "123 456")
        assert ([message["to"] for message in provider.told], counted["clients"]) == (["+0", "+1", "+2"], 1)
        await messenger.close()

    known = {"oidc_issuer": "http://127.0.0.1:9", "oidc_client_id": "portal"}
    identity = IdentityProvider(settings_for("", tmp_path, **known), SystemClock())
    with pytest.raises(SignInUnavailableError):
        await identity.discovery()
    await identity.close()
    stripe = StripeGateway("sk_test_1", api_base="http://127.0.0.1:9", timeout_seconds=5, retries=0)
    with pytest.raises(PaymentsUnavailableError):
        await stripe.expire_session(session_id="cs_1", key="expire:1")
    await stripe.close()
    await metered_client(1.0).aclose()

    assert counted == {"authorities": 1, "clients": 4}
