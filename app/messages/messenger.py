"""SMS and WhatsApp through a provider that accepts a JSON object over HTTP; without a provider none is sent."""

from __future__ import annotations

import asyncio
from typing import Any

from app.errors import DeliveryDeferredError, DeliveryError, MessengerUnavailableError
from app.messages.ports import Channel, Messenger
from app.settings import Settings

TIMEOUT_SECONDS = 15.0
# With these statuses the provider may accept the same message later: too many requests, and its own failures.
TOO_MANY_REQUESTS = 429
SERVER_ERRORS_FROM = 500


class HttpMessenger:
    """Posts ``{"channel", "to", "sender", "text"}`` to the provider's URL; any 2xx status means acceptance."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.message_provider_url.get_secret_value()
        self._sender = settings.message_sender

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Return once the provider has accepted the message; raises DeliveryDeferredError or DeliveryError."""
        message = {"channel": channel, "to": to, "sender": self._sender, "text": text}
        # In a thread, because importing the library and loading the machine's certificates read files.
        client, transport_error = await asyncio.to_thread(_make_client)
        try:
            async with client:
                status = (await client.post(self._url, json=message)).status_code
        except transport_error as failure:
            # Without the failure's text: it may contain the provider's URL, which may contain a password.
            raise DeliveryDeferredError(reason=f"the provider does not answer ({type(failure).__name__})") from None
        if status == TOO_MANY_REQUESTS or status >= SERVER_ERRORS_FROM:
            raise DeliveryDeferredError(reason=f"the provider answered {status}")
        if not 200 <= status < 300:
            raise DeliveryError(reason=f"the provider answered {status}")


class NoMessenger:
    """Refuses every message, for settings without a provider."""

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Raise MessengerUnavailableError."""
        raise MessengerUnavailableError


def messenger_for(settings: Settings) -> Messenger:
    """The messenger for these settings."""
    return HttpMessenger(settings) if settings.message_provider_url.get_secret_value() else NoMessenger()


def _make_client() -> tuple[Any, type[Exception]]:
    import httpx2

    return httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False), httpx2.HTTPError
