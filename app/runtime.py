"""What one worker process holds: settings, database, clock, keys, tokens, limits, and the shared statements."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from app.access.access_tokens import AccessTokens
from app.access.identity_provider import IdentityProvider
from app.access.keys import Keys
from app.access.passwords import Passwords
from app.clock import Clock, SystemClock
from app.database.coalesce import Coalescer
from app.database.connections import Database
from app.database.doorbell import Doorbell
from app.errors import ShuttingDownError
from app.limits.rate_limits import RateLimits
from app.messages.mail import mailer_for
from app.messages.messenger import messenger_for
from app.messages.ports import Mailer, Messenger
from app.providers.artifacts import Artifacts
from app.providers.payments import BillingGateway
from app.providers.stripe import gateway_for
from app.settings import Settings
from app.telemetry import metrics

if TYPE_CHECKING:
    from app.providers.stripe_simulator.simulator import StripeSimulator

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Part = TypeVar("Part")

# The doorbell's topic for runs that have new events; the keys are their ids.
RUN_EVENTS: Final = "run_events"


@dataclass(frozen=True, eq=False)
class Coalesced(Generic[Item, Answer]):
    """A question that waiting requests share: ``run`` answers a batch with one statement, in order."""

    name: str
    run: Callable[[Runtime, Sequence[Item]], Awaitable[Sequence[Answer]]]
    lanes: int = 2
    # The setting for how much may wait: so many requests, or so many usage events of whatever requests.
    queue_size: Literal["coalesce_queue_size", "usage_queue_events"] = "coalesce_queue_size"
    # A batch takes one of so many parts of what waits; see ``Coalescer``.
    parts: int = 1
    # Whose rows an item locks: where one of them is locked already, the owner's items step aside from the others'.
    owner: Callable[[Item], Hashable] = lambda item: None


def _left_to_the_sweep(errand: str, row_id: int) -> None:
    """A process that neither runs errands nor calls for them leaves the row for one that does."""


def _simulator(settings: Settings, clock: Clock, keys: Keys) -> StripeSimulator:
    from app.providers.stripe_simulator.simulator import StripeSimulator

    return StripeSimulator(
        settings,
        clock,
        api_key=keys.simulator_secret("api key"),
        webhook_secret=keys.simulator_secret("webhook secret"),
    )


class Runtime:
    """One per process; the only thing that lives as long as the process does."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.db = Database(settings, metrics.sql_statements.inc)
        self.doorbell = Doorbell(settings, self.db)
        self.keys = Keys(settings)
        self.tokens = AccessTokens(settings, self.db, self.keys, self.clock)
        self.rate_limits = RateLimits(settings)
        self.passwords = Passwords()
        self.identity_provider = IdentityProvider(settings, self.clock)
        self.mailer: Mailer = mailer_for(settings)
        self.messenger: Messenger = messenger_for(settings)
        self.artifacts = Artifacts(settings)
        # Answers instead of Stripe in development, until there is a key of Stripe's.
        self.simulator: StripeSimulator | None = None
        # The secrets of which one signs what Stripe sends; none where nothing is received.
        self.webhook_secrets = settings.stripe_webhook_secrets
        if settings.simulates_stripe:
            self.simulator = _simulator(settings, self.clock, self.keys)
            self.webhook_secrets += (self.keys.simulator_secret("webhook secret"),)
        # None where nothing can be paid for: there is neither a key of Stripe's nor its simulator.
        self.payments: BillingGateway | None = gateway_for(settings, self.simulator)
        self.zone = settings.zone
        self.executor_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.is_stopping = False
        # Whether this process writes heartbeats, by whose end others see that it is gone.
        self.writes_heartbeats = False
        # Puts the errand of a committed row into the queue, or calls for it (``app/jobs/calls.py``).
        self.enqueue: Callable[[str, int], None] = _left_to_the_sweep
        self._upkeep: set[asyncio.Task[None]] = set()
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._drainers: list[Callable[[], Awaitable[None]]] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._parts: dict[Callable[[Runtime], Any], Any] = {}
        self._coalescers: dict[Coalesced[Any, Any], Coalescer[Any, Any]] = {}

    def coalescer(self, question: Coalesced[Item, Answer]) -> Coalescer[Item, Answer]:
        """This worker's queue for a shared question; raises ShuttingDownError for a new one once it stops."""
        if (coalescer := self._coalescers.get(question)) is None:
            if self.is_stopping:
                raise ShuttingDownError

            async def run(items: Sequence[Item]) -> Sequence[Answer]:
                return await question.run(self, items)

            coalescer = self._coalescers[question] = Coalescer(
                run,
                lanes=1 if self.db.is_sqlite else question.lanes,
                batch_size=self.settings.coalesce_batch_size,
                parts=question.parts,
                owner=question.owner,
                queue_size=getattr(self.settings, question.queue_size),
                observe=metrics.batch_size.labels(question.name).observe,
            )
        return coalescer

    def part(self, kind: Callable[[Runtime], Part]) -> Part:
        """What this process has one of, by its class: made when it is first asked for, and kept as long as this."""
        if kind not in self._parts:
            self._parts[kind] = kind(self)
        part: Part = self._parts[kind]
        return part

    def run_moved(self, run_id: int, tenant_id: int) -> None:
        """Tell whoever watches a run, in any process, that it has new events; called after their commit."""
        self.doorbell.ring(RUN_EVENTS, run_id)

    async def start(self) -> None:
        """Load the signing keys, and keep them loaded."""
        await self.tokens.load()
        self._upkeep.add(asyncio.create_task(self.tokens.keep_loaded()))

    def begin(self, work: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        """Work in the background; a process that stops waits for it."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def to_its_end(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """What the work answers; it goes on when its caller is cancelled, and a process that stops waits for it."""
        return await asyncio.shield(self.begin(work))

    def at_drain(self, drain: Callable[[], Awaitable[None]]) -> None:
        """Await this too when the process is to answer its last requests."""
        self._drainers.append(drain)

    def at_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close this too when the runtime is closed."""
        self._closers.append(close)

    async def drain(self) -> None:
        """Answer every request that waits for its turn or for a shared statement, and accept no new one."""
        await self.rate_limits.release()
        self.is_stopping = True
        await asyncio.gather(
            *(drain() for drain in self._drainers), *(queue.drain() for queue in self._coalescers.values())
        )
        await asyncio.gather(*self._unfinished, return_exceptions=True)

    async def close(self) -> None:
        """End the upkeep and close what the process holds open."""
        for task in self._upkeep:
            task.cancel()
        await asyncio.gather(*self._upkeep, return_exceptions=True)
        self._upkeep.clear()
        await asyncio.gather(*self._unfinished, return_exceptions=True)
        for close in self._closers:
            await close()
        await self.rate_limits.close()
        self.passwords.close()
        self.artifacts.close()
        if self.payments is not None:
            await self.payments.close()
        if self.simulator is not None:
            await self.simulator.close()
        await self.identity_provider.close()
        await self.messenger.close()
        await self.doorbell.close()
        await self.db.close()
