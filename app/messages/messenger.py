"""SMS and WhatsApp through a provider that accepts a JSON object over HTTP; without a provider none is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.certificates import trusted_authorities
from app.errors import DeliveryDeferredError, DeliveryError, MessengerUnavailableError
from app.messages.ports import Channel, Messenger
from app.settings import Settings

if TYPE_CHECKING:
    import httpx2

TIMEOUT_SECONDS = 15.0
# With these statuses the provider may accept the same message later: too many requests, and its own failures.
TOO_MANY_REQUESTS = 429
SERVER_ERRORS_FROM = 500


class HttpMessenger:
    """Posts ``{"channel", "to", "sender", "text"}`` to the provider's URL; any 2xx status means acceptance."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.message_provider_url.get_secret_value()
        self._sender = settings.message_sender
        self._client: httpx2.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Return once the provider has accepted the message; raises DeliveryDeferredError or DeliveryError."""
        message = {"channel": channel, "to": to, "sender": self._sender, "text": text}
        client = await self._opened()
        import httpx2

        try:
            status = (await client.post(self._url, json=message)).status_code
        except httpx2.HTTPError as failure:
            # Without the failure's text: it may contain the provider's URL, which may contain a password.
            raise DeliveryDeferredError(reason=f"the provider does not answer ({type(failure).__name__})") from None
        if status == TOO_MANY_REQUESTS or status >= SERVER_ERRORS_FROM:
            raise DeliveryDeferredError(reason=f"the provider answered {status}")
        if not 200 <= status < 300:
            raise DeliveryError(reason=f"the provider answered {status}")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _opened(self) -> httpx2.AsyncClient:
        async with self._opening:
            if self._client is None:
                # In a thread, because importing the library and loading the machine's certificates read files.
                self._client = await asyncio.to_thread(_make_client)
            return self._client


class NoMessenger:
    """Refuses every message, for settings without a provider."""

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Raise MessengerUnavailableError."""
        raise MessengerUnavailableError

    async def close(self) -> None:
        """There is nothing to close."""


def messenger_for(settings: Settings) -> Messenger:
    """The messenger for these settings."""
    return HttpMessenger(settings) if settings.message_provider_url.get_secret_value() else NoMessenger()


def _make_client() -> httpx2.AsyncClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx2

    # All messages share the client, so it must store no cookies.
    return httpx2.AsyncClient(
        verify=trusted_authorities(),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,
    )
