"""Who watches runs through this process: one tail for each run, one for all runs, and what ends a watcher.

Every two seconds, for all watchers together, one statement asks whether their sessions are good still, and one how far
their runs are: so a ring that was lost delays an event, and a session that has ended is told nothing more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog

from app.context import Context
from app.database.connections import as_batch
from app.errors import ShuttingDownError, TooManyWatchersError, UnavailableError, WatchersFullError
from app.runtime import RUN_EVENTS, Runtime
from app.services.runs.run_events import Cursor, RunEvent
from app.services.runs.sources import AllRunsSource, RunSource
from app.services.runs.tail import Tail, Watcher
from app.services.tenants.sessions import good_sessions, token_hash_of
from app.telemetry import metrics
from sql.statements import run_events as statements

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 2.0
# Seconds that the streams of a worker that stops have to send their last words.
STOP_SECONDS: Final = 3.0
# Where a ring finds nothing, an older transaction still runs.
RETRIES: Final = (0.02, 0.05, 0.1, 0.2, 0.5)


class Owner(NamedTuple):
    """For whom a watcher is: its tenant, and its session by the hash of the token, with its absolute end."""

    tenant_id: int | None
    token_hash: bytes | None = None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, ctx: Context) -> Owner:
        """Whoever asks; only a tenant has a session that is looked after here."""
        if ctx.session is None or ctx.session_token is None:
            return cls(ctx.actor.tenant_id)
        token_hash = token_hash_of(ctx.runtime, ctx.session_token.get_secret_value())
        return cls(ctx.session.tenant_id, token_hash, ctx.session.expires_at)


class RunTail(NamedTuple):
    """The tail of one run."""

    tenant_id: int
    tail: Tail[int]


class Watches:
    """The watchers of one process; it listens and looks only while there are any."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._owners: dict[Watcher[Any], Owner] = {}
        self._by_tenant: Counter[int] = Counter()
        self._runs: dict[int, RunTail] = {}
        self._all_runs: Tail[Cursor] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._nobody = asyncio.Event()
        self._nobody.set()
        runtime.at_drain(self._stop)

    def watch_run(self, owner: Owner, tenant_id: int, run_id: int, *, after: int, newest: int) -> Watcher[int]:
        """Watch a run whose newest event has, or had just now, that number; raises as ``follow_all``."""
        self._check(owner)
        if (found := self._runs.get(run_id)) is None:
            tail = Tail(RunSource(self._runtime, tenant_id, run_id), newest)
            found = self._runs[run_id] = RunTail(tenant_id, tail)
        tail = found.tail

        def closed(watcher: Watcher[int]) -> None:
            self._remove(watcher)
            if not tail.watchers:
                tail.close()
                del self._runs[run_id]

        return self._add(owner, Watcher(tail, after, closed=closed))

    async def follow_all(
        self, owner: Owner, tenant_id: int | None, after: Cursor | None, wanted: Callable[[RunEvent], bool] | None
    ) -> Watcher[Cursor]:
        """Watch the runs of all tenants or of one, behind a place or from now on.

        Raises ShuttingDownError, TooManyWatchersError, WatchersFullError, DatabaseUnavailableError.
        """
        self._check(owner)
        if self._all_runs is None:
            source = AllRunsSource(self._runtime)
            newest = await source.newest()
            # Somebody else may have been as fast, or as slow that the process stops.
            self._check(owner)
            if self._all_runs is None:
                self._all_runs = Tail(source, newest, RETRIES)
        tail = self._all_runs

        def closed(watcher: Watcher[Cursor]) -> None:
            self._remove(watcher)
            if not tail.watchers:
                tail.close()
                self._all_runs = None

        place = tail.head if after is None else after
        return self._add(owner, Watcher(tail, place, closed=closed, tenant_id=tenant_id, wanted=wanted))

    def _check(self, owner: Owner) -> None:
        settings = self._runtime.settings
        if self._runtime.is_stopping:
            raise ShuttingDownError
        if len(self._owners) >= settings.max_watchers:
            raise WatchersFullError(retry_after=10)
        limit = settings.max_watchers_per_tenant
        if owner.tenant_id is not None and self._by_tenant[owner.tenant_id] >= limit:
            raise TooManyWatchersError(limit=limit)

    def _add(self, owner: Owner, watcher: Watcher[Any]) -> Watcher[Any]:
        if not self._owners:
            self._nobody.clear()
            self._runtime.doorbell.listen(RUN_EVENTS, self._heard)
            self._looking = asyncio.create_task(self._look(), name="run-watches")
        self._owners[watcher] = owner
        if owner.tenant_id is not None:
            self._by_tenant[owner.tenant_id] += 1
        metrics.run_watchers.inc()
        return watcher

    def _remove(self, watcher: Watcher[Any]) -> None:
        owner = self._owners.pop(watcher)
        if owner.tenant_id is not None:
            self._by_tenant[owner.tenant_id] -= 1
            if not self._by_tenant[owner.tenant_id]:
                del self._by_tenant[owner.tenant_id]
        metrics.run_watchers.dec()
        if not self._owners:
            self._nobody.set()
            self._runtime.doorbell.leave(RUN_EVENTS)
            if self._looking is not None:
                self._looking.cancel()

    async def _stop(self) -> None:
        for watcher in tuple(self._owners):
            watcher.finish("stopping")
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._nobody.wait()
        except TimeoutError:
            log.warning("watchers_left", watchers=len(self._owners))

    def _heard(self, run_id: int | None) -> None:
        for watched in self._runs.values() if run_id is None else filter(None, [self._runs.get(run_id)]):
            watched.tail.ring()
        if self._all_runs is not None:
            self._all_runs.ring()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._end_sessions()
                await self._look_at_runs()
            except UnavailableError as failure:
                log.warning("run_watches_interrupted", reason=str(failure))
            except Exception:
                log.exception("run_watches_failed")

    async def _end_sessions(self) -> None:
        """Finish the watchers whose sessions have ended; that of a deleted tenant is one of these."""
        now = self._runtime.clock.now()
        for watcher, owner in tuple(self._owners.items()):
            if owner.expires_at is not None and owner.expires_at <= now:
                watcher.finish("session_ended")
        asked = {owner.token_hash for owner in self._owners.values() if owner.token_hash is not None}
        if not asked:
            return
        good = await good_sessions(self._runtime, asked)
        for watcher, owner in tuple(self._owners.items()):
            if owner.token_hash in asked - good:
                watcher.finish("session_ended")

    async def _look_at_runs(self) -> None:
        """Ring for what was missed."""
        if self._all_runs is not None:
            self._all_runs.look()
        going_on = {run_id: watched for run_id, watched in self._runs.items() if watched.tail.end is None}
        if not going_on:
            return
        batch = as_batch([{"tenant_id": watched.tenant_id, "run_id": run_id} for run_id, watched in going_on.items()])
        async with self._runtime.db.read() as conn:
            rows = {row.run_id: row for row in await conn.rows(statements.newest_numbers, batch=batch)}
        for run_id, (_, tail) in going_on.items():
            row = rows.get(run_id)
            if row is None or not row.is_running or row.events > tail.head:
                tail.look()
