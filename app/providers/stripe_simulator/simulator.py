"""Stripe's simulator in one process: it answers requests, moves its clock, and sends its events to the portal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import orjson
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.clock import Clock
from app.providers.stripe_library import API_VERSION
from app.providers.stripe_simulator import tables
from app.providers.stripe_simulator.api import carry_out
from app.providers.stripe_simulator.books import Books, Caller, new_id
from app.providers.stripe_simulator.deliveries import Deliveries
from app.providers.stripe_simulator.parameters import parse_parameters
from app.providers.stripe_simulator.refusals import Refusal
from app.providers.stripe_simulator.store import Store
from app.providers.stripe_simulator.time_passing import pass_time
from app.settings import Settings

PATH = "/dev/stripe"
UNAUTHORIZED = 401
# How often somebody looks what is due, and which events other processes have left.
LOOK_SECONDS = 5.0
CLOSE_SECONDS = 2.0

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What a request is answered, as JSON."""

    status: int
    body: bytes
    request_id: str
    is_replayed: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers that Stripe's library reads."""
        replayed = {"idempotent-replayed": "true"} if self.is_replayed else {}
        return {"content-type": "application/json", "request-id": self.request_id, **replayed}


class Sent(NamedTuple):
    """A request: its path below ``/v1/``, and its parameters as they were sent."""

    method: str
    path: str
    parameters: str
    idempotency_key: str | None = None


class Progress(NamedTuple):
    """How far the clock is ahead of the machine's, in seconds, and how much has happened on the way there."""

    seconds_ahead: int
    happened: int


class StripeSimulator:
    """The simulator in this process; its state is shared by all processes of the host."""

    def __init__(self, settings: Settings, clock: Clock, *, api_key: str, webhook_secret: str) -> None:
        self.api_key = api_key
        self.store = Store(settings.state_dir)
        self.deliveries = Deliveries(self.store, webhook_address(settings), webhook_secret)
        self._url = settings.public_url.rstrip("/") + PATH
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._is_wanted = asyncio.Event()

    async def answer(self, sent: Sent, api_key: str) -> Answer:
        """Answer a request of the API."""
        if not hmac.compare_digest(api_key.encode(), self.api_key.encode()):
            refusal = Refusal("Invalid API Key provided", status=UNAUTHORIZED)
            return Answer(refusal.status, orjson.dumps(refusal.body), new_id("req"))
        answer = await asyncio.to_thread(self._answer, sent)
        self._go_on()
        return answer

    async def run(self, work: Callable[[Books], Result]) -> Result:
        """Do what a person does on one of the pages, in one transaction; raises Refusal."""
        result = await asyncio.to_thread(self._run, work)
        self._go_on()
        return result

    async def advance(self, seconds: int) -> Progress:
        """Move the clock ahead; what is due on the way happens at its moment, in order."""
        progress = await asyncio.to_thread(self._advance, seconds)
        self._go_on()
        return progress

    async def begin(self) -> None:
        """Send what an earlier process has left, if the simulator was ever used here."""
        if await asyncio.to_thread(self.store.path.exists):
            self._go_on()

    async def close(self) -> None:
        """Send no more, and close the file."""
        if self._task is not None:
            # An event on its way arrives; what is cut off leaves its connection open.
            self.deliveries.is_stopping = True
            self._is_wanted.set()
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.deliveries.close()
        await asyncio.to_thread(self.store.close)

    def _answer(self, sent: Sent) -> Answer:
        caller = Caller(new_id("req"), sent.idempotency_key if sent.method != "GET" else None)
        try:
            with self.store.transaction() as connection:
                return self._answered_once(connection, sent, caller)
        except Refusal as refusal:
            return Answer(refusal.status, orjson.dumps(refusal.body), caller.id or "")

    def _answered_once(self, connection: Connection, sent: Sent, caller: Caller) -> Answer:
        """The answer; under an idempotency key that was used before it is the one of then, and nothing is done."""
        key = caller.idempotency_key
        fingerprint = hashlib.sha256("\n".join(sent[:3]).encode()).hexdigest()
        kept = None if key is None else connection.execute(tables.kept_answer, {"key": key}).one_or_none()
        if kept is not None:
            if kept.fingerprint != fingerprint:
                words = "Keys for idempotent requests can only be used with the same parameters."
                raise Refusal(words, kind="idempotency_error")
            return Answer(kept.status, kept.body.encode(), caller.id or "", is_replayed=True)
        books = self._books(connection, caller)
        status = 200
        try:
            body = orjson.dumps(carry_out(books, sent.method, sent.path, parse_parameters(sent.parameters)))
        except Refusal as refusal:
            if not refusal.is_recorded:
                raise
            status, body = refusal.status, orjson.dumps(refusal.body)
        if key is not None:
            values = {"key": key, "fingerprint": fingerprint, "status": status, "body": body.decode()}
            connection.execute(tables.keep_answer, values)
        return Answer(status, body, caller.id or "")

    def _go_on(self) -> None:
        """From the first use on, what is due happens, and events are sent."""
        self._is_wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_going())

    async def _keep_going(self) -> None:
        while not self.deliveries.is_stopping:
            # Cleared before what it asks for is done: what is wanted meanwhile is done after that.
            self._is_wanted.clear()
            try:
                await asyncio.to_thread(self._run, lambda books: None)
                await self.deliveries.send_waiting()
            except SQLAlchemyError as failure:
                # For instance a file that another process has locked for too long; the next look may find it free.
                log.warning("simulator_failed", reason=type(failure).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._is_wanted.wait()

    def _run(self, work: Callable[[Books], Result]) -> Result:
        with self.store.transaction() as connection:
            return work(self._books(connection, Caller()))

    def _advance(self, seconds: int) -> Progress:
        with self.store.transaction() as connection:
            books = self._books(connection, Caller())
            happened = pass_time(books, books.now + seconds)
            ahead = _seconds_ahead(connection) + seconds
            connection.execute(tables.set_seconds_ahead, {"id": 1, "ahead_seconds": ahead})
            return Progress(ahead, happened)

    def _books(self, connection: Connection, caller: Caller) -> Books:
        """The books at this moment: whatever was due before it has happened."""
        machine = int(self._clock.timestamp())
        now = machine + _seconds_ahead(connection)
        books = Books(
            connection, now=now, sent_at=self.deliveries.now(), api_version=API_VERSION, url=self._url, caller=Caller()
        )
        pass_time(books, now)
        books.caller = caller
        return books


def webhook_address(settings: Settings) -> str:
    """Where the portal of this machine receives events."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognized, not listened on
    host = everywhere.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/billing/stripe/webhook"


def _seconds_ahead(connection: Connection) -> int:
    row = connection.execute(tables.seconds_ahead).one_or_none()
    return 0 if row is None else int(row.ahead_seconds)
