"""Webhooks: each event is signed and sent to the portal, and sent again while the portal does not take it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from app.certificates import trusted_authorities
from app.providers.stripe_simulator import tables
from app.providers.stripe_simulator.store import Store

TIMEOUT_SECONDS = 10.0
# An event on its way is left to whoever has taken it for so long.
TAKEN_SECONDS = 30
# Seconds after each attempt until the next one; the last of them holds for three days.
PAUSES = (1, 2, 5, 15, 60, 300, 3600)
GIVE_UP_AFTER = 100
# Another process may have taken an event; so long until somebody looks whether it has arrived.
SETTLE_PAUSE_SECONDS = 0.1

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger(__name__)


class Taken(NamedTuple):
    """An event to be sent, and which attempt it is."""

    id: str
    body: str
    attempt: int


class Deliveries:
    """Sends events, one after another; each process may take the next one."""

    def __init__(self, store: Store, address: str, secret: str) -> None:
        # A server that listens elsewhere than its settings say changes it.
        self.address = address
        # No further event is sent once the process stops.
        self.is_stopping = False
        self._store = store
        self._secret = secret
        self._client: httpx2.AsyncClient | None = None
        self._one_at_a_time = asyncio.Lock()

    @staticmethod
    def now() -> int:
        """The machine's time: events are sent when they are caused, whatever moment they tell of."""
        return int(time.time())

    async def send_waiting(self) -> int:
        """Send what is due now; answers how many events still wait for another attempt."""
        async with self._one_at_a_time:
            while not self.is_stopping and (taken := await asyncio.to_thread(self._take)) is not None:
                await self._send(taken)
            return await asyncio.to_thread(self._count)

    async def settle(self, seconds: float) -> int:
        """Send what is there, again where it was not taken, for so many seconds; answers how many still wait."""
        end = time.monotonic() + seconds
        # No event of this process tells what another one has sent.
        while (waiting := await self.send_waiting()) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(SETTLE_PAUSE_SECONDS)
        return waiting

    async def close(self) -> None:
        """Send no more."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(self, taken: Taken) -> None:
        status = await self._post(taken.body.encode())
        is_taken = status is not None and 200 <= status < 300
        pause = PAUSES[min(taken.attempt, len(PAUSES)) - 1]
        again_at = None if is_taken or taken.attempt >= GIVE_UP_AFTER else self.now() + pause
        if not is_taken:
            log.info("simulated_webhook_failed", event_id=taken.id, status=status, attempt=taken.attempt)
        await asyncio.to_thread(self._record, taken.id, status, again_at)

    async def _post(self, body: bytes) -> int | None:
        """The status that the portal answers; None where it does not answer."""
        if self._client is None:
            # In a thread, because importing the library and loading the machine's certificates read files.
            self._client = await asyncio.to_thread(_make_client)
        import httpx2

        headers = {"content-type": "application/json", "stripe-signature": signature(body, self._secret, self.now())}
        try:
            return (await self._client.post(self.address, content=body, headers=headers)).status_code
        except httpx2.HTTPError:
            return None

    def _take(self) -> Taken | None:
        now = self.now()
        with self._store.transaction() as connection:
            row = connection.execute(tables.take_event, {"now": now, "until": now + TAKEN_SECONDS}).one_or_none()
        return None if row is None else Taken(row.id, row.body, row.attempts)

    def _record(self, event_id: str, status: int | None, again_at: int | None) -> None:
        values = {"of_id": event_id, "status": status, "next_attempt_at": again_at}
        with self._store.transaction() as connection:
            connection.execute(tables.set_event, values)

    def _count(self) -> int:
        with self._store.transaction() as connection:
            return int(connection.execute(tables.undelivered).one()[0])


def signature(body: bytes, secret: str, moment: int) -> str:
    """The header Stripe-Signature of a body sent at a moment."""
    mac = hmac.new(secret.encode(), b"%d.%b" % (moment, body), hashlib.sha256).hexdigest()
    return f"t={moment},v1={mac}"


def _make_client() -> httpx2.AsyncClient:
    import httpx2

    return httpx2.AsyncClient(
        verify=trusted_authorities(), timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False
    )
