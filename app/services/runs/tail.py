"""Tails: the events behind one place are read once for everybody who watches, and the newest are kept for them.

A watcher has no queue of its own, only the place that it has reached. It takes what the tail has kept behind that
place. One that begins earlier, or has fallen behind what is kept, reads the part between by pages and goes on where
they end: so nobody can make the process keep more, and nobody misses an event or gets one twice.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar

import structlog

from app.errors import UnavailableError
from app.services.runs.run_events import Cursor, RunEvent

log = structlog.get_logger(__name__)

Place = TypeVar("Place", int, Cursor)

# Why a watcher is told no more. After the first three it need not come back; after the others it may at once.
End = Literal["run_ended", "session_ended", "deleted", "stopping", "interrupted"]

# How many events are read at a time, and how many and how much of them a tail keeps for its watchers.
PAGE_SIZE: Final = 200
KEPT_EVENTS: Final = 1000
KEPT_BYTES: Final = 1_000_000
# How many events a watcher takes at a time: more could not be thrown away while it does not read them.
TAKEN_AT_ONCE: Final = 50


class Page(NamedTuple):
    """Some events in their order; whether more may follow at once, and whether none ever will."""

    events: list[RunEvent]
    is_full: bool
    end: End | None = None


class Source(Protocol[Place]):
    """What a tail reads from."""

    def place_of(self, event: RunEvent) -> Place:
        """Where an event stands."""

    async def page(self, after: Place, tenant_id: int | None) -> Page:
        """The next events behind a place, of all tenants or of one."""


class Tail(Generic[Place]):
    """Reads on whenever it is rung, as long as it has watchers."""

    def __init__(self, source: Source[Place], head: Place, retries: Sequence[float] = ()) -> None:
        self._source: Source[Place] = source
        # Seconds between further looks where a ring has found nothing, because it may come before what it is about.
        self._retries: Sequence[float] = retries
        # All that follows ``floor`` up to ``head`` is kept; ``head`` is the last place that was read.
        self.floor: Place = head
        self.head: Place = head
        self.end: End | None = None
        self.watchers: set[Watcher[Place]] = set()
        self._kept: list[RunEvent] = []
        self._places: list[Place] = []
        self._bytes = 0
        self._pages: dict[tuple[Place, int | None], asyncio.Task[Page]] = {}
        self._bell = asyncio.Event()
        self._bell.set()
        self._is_rung = False
        self._reading = asyncio.create_task(self._read(), name="run-tail")

    def ring(self) -> None:
        """Say that there is something new."""
        self._is_rung = True
        self._bell.set()

    def look(self) -> None:
        """Let it look whether there is something new, though nobody has rung."""
        self._bell.set()

    def close(self) -> None:
        """Read no more."""
        self._reading.cancel()
        for page in self._pages.values():
            page.cancel()

    def kept_after(self, place: Place) -> list[RunEvent]:
        """The next events behind a place that is not below ``floor``, a few at a time."""
        first = bisect_right(self._places, place)
        return self._kept[first : first + TAKEN_AT_ONCE]

    def place_of(self, event: RunEvent) -> Place:
        """Where an event stands."""
        return self._source.place_of(event)

    async def page(self, after: Place, tenant_id: int | None) -> Page:
        """A page from the database; watchers at the same place share it."""
        key = (after, tenant_id)
        if (reading := self._pages.get(key)) is None:
            reading = self._pages[key] = asyncio.create_task(self._source.page(after, tenant_id))
            reading.add_done_callback(lambda _: self._pages.pop(key, None))
            # Where all who wait have gone, nobody else asks how it ended.
            reading.add_done_callback(lambda read: read.cancelled() or read.exception())
        return await asyncio.shield(reading)

    async def _read(self) -> None:
        try:
            while self.end is None:
                await self._bell.wait()
                self._bell.clear()
                retries: Sequence[float] = self._retries if self._is_rung else ()
                self._is_rung = False
                try:
                    for seconds in (0.0, *retries):
                        await asyncio.sleep(seconds)
                        if await self._read_on():
                            break
                except UnavailableError as failure:
                    # Whoever looks for events without a ring rings again.
                    log.warning("run_tail_interrupted", reason=str(failure))
        except Exception:
            log.exception("run_tail_failed")
            self.end = "interrupted"
            self._wake()

    async def _read_on(self) -> bool:
        """Read all that is new; whether there was anything."""
        before = self.head
        while self.end is None:
            page = await self._source.page(self.head, None)
            self._keep(page)
            self._wake()
            if not page.is_full:
                break
            # The watchers take this page before the next one may push it out.
            await asyncio.sleep(0)
        return self.head != before

    def _keep(self, page: Page) -> None:
        self.end = page.end
        if not page.events:
            return
        self._kept += page.events
        self._places += (self.place_of(event) for event in page.events)
        self.head = self._places[-1]
        self._bytes += sum(len(event.data) for event in page.events)
        gone = 0
        while self._bytes > KEPT_BYTES or len(self._kept) - gone > KEPT_EVENTS:
            self._bytes -= len(self._kept[gone].data)
            gone += 1
        if gone:
            self.floor = self._places[gone - 1]
            del self._kept[:gone], self._places[:gone]

    def _wake(self) -> None:
        for watcher in self.watchers:
            watcher.wake()


class Watcher(Generic[Place]):
    """Somebody who is told events; ``place`` is how far, and ``end`` why no more will come."""

    def __init__(
        self,
        tail: Tail[Place],
        place: Place,
        *,
        closed: Callable[[Watcher[Place]], None],
        tenant_id: int | None = None,
        wanted: Callable[[RunEvent], bool] | None = None,
    ) -> None:
        self.place: Place = place
        self.end: End | None = None
        self.tail: Tail[Place] = tail
        self._closed: Callable[[Watcher[Place]], None] | None = closed
        self._tenant_id = tenant_id
        self._wanted = wanted
        self._waiter: asyncio.Future[None] | None = None
        tail.watchers.add(self)

    async def next(self, seconds: float | None = None) -> list[RunEvent]:
        """Some events, at least one; none once that many seconds have passed without any, or at the end.

        Raises DatabaseUnavailableError if it has to read what the tail does not keep.
        """
        try:
            async with asyncio.timeout(seconds):
                while self.end is None:
                    if events := await self._some():
                        return events
        except TimeoutError:
            pass
        return []

    def finish(self, end: End) -> None:
        """Tell no more, whatever there is."""
        if self.end is None:
            self.end = end
        self.wake()

    def wake(self) -> None:
        """Let it look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Whoever watched has gone; may be called again."""
        self.tail.watchers.discard(self)
        closed, self._closed = self._closed, None
        if closed is not None:
            closed(self)

    async def _some(self) -> list[RunEvent]:
        """The next events, or none of them wanted, or none after some wait."""
        if self.place < self.tail.floor:
            events = await self._page()
        elif self.place < self.tail.head:
            events = self.tail.kept_after(self.place)
            self.place = self.tail.place_of(events[-1])
        elif self.tail.end is not None:
            self.end = self.tail.end
            return []
        else:
            await self._change()
            return []
        return [event for event in events if self._wants(event)]

    async def _page(self) -> list[RunEvent]:
        # What the tail has read before can be seen by every later statement, so a page that is not full goes so far.
        head = self.tail.head
        page = await self.tail.page(self.place, self._tenant_id)
        if page.end == "deleted":
            self.finish(page.end)
        elif page.is_full:
            self.place = self.tail.place_of(page.events[-1])
        elif page.events:
            self.place = max(head, self.tail.place_of(page.events[-1]))
        else:
            self.place = max(head, self.place)
        return page.events

    async def _change(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wants(self, event: RunEvent) -> bool:
        if self._tenant_id is not None and event.tenant_id != self._tenant_id:
            return False
        return self._wanted is None or self._wanted(event)
