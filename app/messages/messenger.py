"""SMS and WhatsApp through any provider that takes a JSON object over HTTP; without one none leaves."""

from __future__ import annotations

import asyncio
from typing import Any

from app.errors import DeliveryDeferredError, DeliveryError, MessengerUnavailableError
from app.messages.ports import Channel, Messenger
from app.settings import Settings

TIMEOUT_SECONDS = 15.0
# Asked too often, or not able now: the same message may be accepted later.
TOO_MANY = 429
UNABLE_FROM = 500


class HttpMessenger:
    """Posts ``{"channel", "to", "sender", "text"}`` to the provider's address; any 2xx is acceptance."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.message_provider_url.get_secret_value()
        self._sender = settings.message_sender

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Return once the provider has accepted the message; raises DeliveryDeferredError or DeliveryError."""
        message = {"channel": channel, "to": to, "sender": self._sender, "text": text}
        # Reading the library and the machine's certificates takes files.
        client, transport_error = await asyncio.to_thread(_client)
        try:
            async with client:
                status = (await client.post(self._url, json=message)).status_code
        except transport_error as failure:
            # The address of a provider may hold its password, and a failure may quote it.
            raise DeliveryDeferredError(reason=f"the provider does not answer ({type(failure).__name__})") from None
        if status == TOO_MANY or status >= UNABLE_FROM:
            raise DeliveryDeferredError(reason=f"the provider answered {status}")
        if not 200 <= status < 300:
            raise DeliveryError(reason=f"the provider answered {status}")


class NoMessenger:
    """Refuses every message: no provider is set."""

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Raise MessengerUnavailableError."""
        raise MessengerUnavailableError


def messenger_for(settings: Settings) -> Messenger:
    """How SMS and WhatsApp messages leave an installation with these settings."""
    return HttpMessenger(settings) if settings.message_provider_url.get_secret_value() else NoMessenger()


def _client() -> tuple[Any, type[Exception]]:
    import httpx2

    return httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False), httpx2.HTTPError
