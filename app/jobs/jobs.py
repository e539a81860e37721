"""The jobs of one process that works: its heartbeat, the leader's lease, schedules whose slots run once, and errands.

Each such process, called a worker here, writes heartbeats; the worker that holds the lease is the leader. The leader
puts each slot of each schedule into the durable engine's queue when the slot falls due. The workflow id consists of
schedule and slot, so a slot runs once, for any number of workers and any change of leader. Only the leader gives the
work of dead workers to living ones.

An errand is work for one row of the portal's tables. The row is committed first, then the errand is put into the queue
under the row's id. Processes without jobs call for errands (``app/jobs/calls.py``), and any process with jobs answers
them. The leader regularly queues the errands that were missed.

The engine's own scheduler is not used: it loses a slot that falls due during an outage, after a standstill it runs
every slot that was missed, and it needs a thread per schedule in each worker. The queue, the unique workflow ids and
the resumption of workflows are the engine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import Executable
from sqlalchemy.exc import DBAPIError

from app.clock import CLOCKS_DIFFER, held_at
from app.context import Actor, Context
from app.database.connections import as_batch, moment
from app.errors import DeliveryDeferredError, UnavailableError
from app.jobs.calls import Call
from app.jobs.clock_watch import ClockWatch
from app.jobs.work import Errand, Schedule
from app.runtime import Runtime
from app.telemetry import metrics
from sql.statements import database_server, workers

if TYPE_CHECKING:
    from app.jobs.durable import Engine

log = structlog.get_logger(__name__)

LEASE: Final = "leader"
# The latest slot that fell due while there was no leader is still run, up to this age.
MAX_SLOT_AGE: Final = timedelta(hours=24)
# Seconds between two deletions of finished runs.
PURGE_SECONDS: Final = 3600.0
# Seconds between two checks for the first heartbeat.
START_SECONDS: Final = 0.1
# Seconds until an errand must be in the queue; after that the leader's sweep queues it.
ENQUEUE_SECONDS: Final = 30.0
# Calls for errands that are answered together.
CALLS_AT_ONCE: Final = 500
# Seconds that a background task has to end by itself before it is cancelled.
END_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds between heartbeats, until a lease expires, and until a worker without a heartbeat counts as dead.

    A leader may miss two heartbeats before it loses the lease, a worker three before it loses its work. When a leader
    dies, its lease expires within 15 seconds, another worker takes it with its next heartbeat within 5 seconds, and
    takes over the work once the dead worker has been silent for 20 seconds: all within a minute.
    """

    beat: float = 5.0
    lease: float = 15.0
    dead: float = 20.0
    # After a failed step; short enough for the next heartbeat of a living worker to come before it counts as dead.
    retry: float = 2.0
    # Between two queries of the queue: the delay of a run, against the cost of a query per worker.
    poll: float = 2.0
    # The same for errands, which people wait for.
    errand_poll: float = 1.0
    # Between two looks for calls, as part of the same delay; a look is one small read.
    calls: float = 0.25
    # Between two sweeps for missed errands.
    sweep: float = 60.0


class Jobs:
    """The jobs of one worker; one instance per process, launched on the worker's event loop."""

    def __init__(
        self,
        runtime: Runtime,
        schedules: Sequence[Schedule],
        timing: Timing | None = None,
        errands: Sequence[Errand] = (),
    ) -> None:
        self._runtime = runtime
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._errands = {errand.name: errand for errand in errands}
        self._enqueueing: set[asyncio.Task[None]] = set()
        runtime.enqueue = self.enqueue
        self._timing = timing or Timing()
        self._engine: Engine | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._leadership: asyncio.Task[None] | None = None
        self._calls: asyncio.Task[None] | None = None
        self._ending, self._silent, self._running = asyncio.Event(), asyncio.Event(), asyncio.Event()
        # One change of this worker's rows at a time, so that a running heartbeat cannot take a lease again after its
        # release.
        self._row_lock = asyncio.Lock()
        # Times of the monotonic clock: the last heartbeat, the first one of an unbroken series, the end of this
        # worker's lease.
        self._beat_at = self._steady_since = self._leads_until = -math.inf
        self._take_over_at = self._purge_at = self._sweep_at = time.monotonic()
        self._watch = ClockWatch()
        # The latest slot of each schedule that was put into the queue.
        self._enqueued: dict[str, datetime] = {}

    @property
    def is_running(self) -> bool:
        """Whether this worker takes work from the queue."""
        return self._running.is_set() and not self._ending.is_set()

    @property
    def is_leader(self) -> bool:
        """Whether this worker holds a lease that has not expired."""
        return time.monotonic() < self._leads_until

    async def launch(self) -> None:
        """Start the background tasks; they wait for the database if it does not answer."""
        self._heartbeat = asyncio.create_task(self._repeat(self._beat, self._silent), name="jobs-heartbeat")
        self._leadership = asyncio.create_task(self._repeat(self._lead, self._ending), name="jobs-leadership")
        self._calls = asyncio.create_task(self._repeat(self._answer_calls, self._ending), name="jobs-calls")

    async def wait_until_running(self) -> None:
        """Return once this worker takes work from the queue."""
        await self._running.wait()

    def enqueue(self, errand: str, row_id: int) -> None:
        """Queue an errand for a committed row in the background; if that fails, the leader's sweep queues it."""
        task = asyncio.create_task(self._enqueue_errand(errand, row_id), name=f"jobs-{errand}-{row_id}")
        self._enqueueing.add(task)
        task.add_done_callback(self._enqueueing.discard)

    async def stop(self, grace_seconds: float) -> None:
        """Give the lease up, take no more work, and wait ``grace_seconds`` for the running work.

        Work that still runs after that is cancelled, and a living worker takes it over.
        """
        self._ending.set()
        await _end(self._leadership)
        await _end(self._calls)
        await self._end_enqueueing()
        await self._delete_row(workers.release_lease, name=LEASE, holder=self._runtime.executor_id)
        if self._engine is not None:
            try:
                await self._engine.destroy(grace_seconds)
            except Exception as failure:  # noqa: BLE001 - this worker's rows must be deleted in any case
                log.warning("jobs_engine_not_stopped", reason=str(failure))
        self._silent.set()
        self._runtime.writes_heartbeats = False
        await _end(self._heartbeat)
        await self._delete_row(workers.delete_worker_heartbeat, executor_id=self._runtime.executor_id)

    async def _repeat(self, step: Callable[[], Awaitable[float]], ending: asyncio.Event) -> None:
        """Repeat a step, which returns its pause in seconds, until ``ending`` is set; back off when it raises."""
        failures = 0
        while not ending.is_set():
            try:
                pause = await step()
            except Exception as failure:
                # No worker leads without the database; the next successful heartbeat shows whether this one still holds
                # the lease.
                self._leads_until = -math.inf
                pause = min(self._timing.retry * 2 ** min(failures, 10), self._timing.beat)
                failures += 1
                if failures == 1:
                    expected = isinstance(failure, UnavailableError | DBAPIError)
                    log.warning("jobs_interrupted", step=step.__name__, reason=str(failure), exc_info=not expected)
            else:
                if failures:
                    log.info("jobs_recovered", step=step.__name__, failures=failures)
                failures = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await ending.wait()

    async def _beat(self) -> float:
        """Write this worker's heartbeat, and take or extend the lease if this worker takes work."""
        monotonic_now, now = time.monotonic(), self._runtime.clock.now()
        holder = None
        async with self._row_lock, self._runtime.db.write() as conn:
            await conn.affected(
                workers.record_worker_heartbeat,
                executor_id=self._runtime.executor_id,
                host=socket.gethostname(),
                started_at=now,
                beat_at=now,
            )
            if self.is_running:
                expires_at = now + timedelta(seconds=self._timing.lease)
                lease = {"name": LEASE, "holder": self._runtime.executor_id, "expires_at": expires_at}
                holder = await conn.maybe(workers.take_lease, str, **lease, **held_at(now))
            skew = None
            if not self._runtime.db.is_sqlite:
                there = await conn.one(database_server.clock, moment)
                # Not ``now``, which may be long ago: waiting for a row or a connection is no clock that stands behind.
                skew = self._runtime.clock.now() - there
        self._watch.look(now, monotonic_now, skew)
        if monotonic_now - self._beat_at > 2 * self._timing.beat:
            self._steady_since = monotonic_now
        self._beat_at, self._runtime.writes_heartbeats = monotonic_now, True
        was_leader, self._leads_until = self.is_leader, monotonic_now + self._timing.lease if holder else -math.inf
        if was_leader != self.is_leader:
            log.info("jobs_leader", leads=self.is_leader)
        return self._timing.beat if self.is_running else self._timing.retry

    async def _lead(self) -> float:
        """Launch the engine, and do the leader's work; before its first heartbeat this worker counts as dead."""
        if self._beat_at == -math.inf:
            return START_SECONDS
        engine = await self._launched_engine()
        if not self.is_leader:
            return self._timing.beat
        pause = await self._enqueue_due(engine)
        if time.monotonic() >= self._take_over_at:
            await self._take_over(engine)
        if time.monotonic() >= self._sweep_at:
            await self._sweep(engine)
        return min(pause, self._timing.beat)

    async def _launched_engine(self) -> Engine:
        if self._engine is None:
            engine_class = await asyncio.to_thread(_engine_class)
            settings, executor_id = self._runtime.settings, self._runtime.executor_id
            self._engine = engine_class(
                settings,
                executor_id,
                self._perform,
                self._perform_errand,
                poll_seconds=self._timing.poll,
                errand_poll_seconds=self._timing.errand_poll,
                at_once={errand.name: errand.at_once for errand in self._errands.values() if errand.at_once},
            )
        if not self._engine.is_launched:
            await self._engine.launch()
            self._running.set()
        return self._engine

    async def _enqueue_due(self, engine: Engine) -> float:
        """Put the slots that are due into the queue; returns the seconds until the next one."""
        now, zone = self._runtime.clock.now(), self._runtime.zone
        earliest = now - MAX_SLOT_AGE
        # A moment that lies ahead was noted by a clock that stood ahead. A slot that is put in twice runs once.
        if engine.since <= now:
            earliest = max(engine.since, earliest)
        for schedule in self._schedules.values():
            slot = schedule.latest_slot(now, zone)
            known = self._enqueued.get(schedule.name, earliest)
            if slot > (known if known <= now else earliest):
                await engine.enqueue(schedule.name, slot)
                self._enqueued[schedule.name] = slot
        waits = [(schedule.next_slot(now, zone) - now).total_seconds() for schedule in self._schedules.values()]
        return min(waits, default=self._timing.beat)

    async def _enqueue_errand(self, errand: str, row_id: int) -> None:
        try:
            async with asyncio.timeout(ENQUEUE_SECONDS):
                await self._running.wait()
                while self._engine is not None and self._engine.is_launched:
                    if await self._put(self._engine, errand, row_id):
                        break
                    await asyncio.sleep(self._timing.calls)
        except Exception as failure:  # noqa: BLE001 - the row is committed, so the sweep queues its errand
            log.warning("errand_not_enqueued", errand=errand, row=row_id, reason=str(failure))

    async def _answer_calls(self) -> float:
        """Put the errands that other processes have called for into the queue.

        Another process may answer the same calls meanwhile: a row's errand is in the queue once, whoever puts it there.
        """
        if self._engine is None or not self.is_running:
            return START_SECONDS
        async with self._runtime.db.read() as conn:
            calls = await conn.many(workers.oldest_errand_calls, Call, max_rows=CALLS_AT_ONCE)
        by_row: dict[tuple[str, int], list[int]] = {}
        for call in calls:
            by_row.setdefault((call.errand, call.row_id), []).append(call.id)
        answered: list[int] = []
        for (errand, row_id), ids in by_row.items():
            # Of the calls for an errand that is under way one stays, until that has ended.
            answered += ids if await self._put(self._engine, errand, row_id) else ids[1:]
        if answered:
            async with self._runtime.db.write_autocommit() as conn:
                await conn.affected(workers.delete_errand_calls, batch=as_batch([{"id": each} for each in answered]))
        return 0.0 if len(calls) == CALLS_AT_ONCE else self._timing.calls

    async def _put(self, engine: Engine, errand: str, row_id: int) -> bool:
        """Put an errand into the queue; False where it must be tried again, because it repeats and is under way."""
        repeats = errand in self._errands and self._errands[errand].repeats
        return await engine.enqueue_errand(errand, row_id, again=repeats) or not repeats

    async def _end_enqueueing(self) -> None:
        """Wait until pending errands are in the queue; without a running engine cancel them at once."""
        if self._enqueueing and self._running.is_set():
            await asyncio.wait(self._enqueueing, timeout=END_SECONDS)
        for task in self._enqueueing:
            task.cancel()

    async def _sweep(self, engine: Engine) -> None:
        """Queue the errands of rows that have waited for too long."""
        self._sweep_at = time.monotonic() + self._timing.sweep
        for errand in self._errands.values():
            row_ids = await errand.waiting(Context(self._runtime, Actor("system", f"errand {errand.name}")))
            for row_id in row_ids:
                await engine.enqueue_errand(errand.name, row_id, again=True)
            if row_ids:
                log.info("errands_swept", errand=errand.name, rows=len(row_ids))

    async def _take_over(self, engine: Engine) -> None:
        """Give the work of dead workers to living ones, and delete the dead workers' heartbeats.

        After an outage of the database, or a standstill of this machine, all heartbeats are old. So a leader may only
        declare others dead if its own heartbeats have been regular for long enough.
        """
        self._take_over_at = time.monotonic() + self._timing.beat
        if time.monotonic() - self._steady_since < self._timing.dead:
            return
        now = self._runtime.clock.now()
        since = now - timedelta(seconds=self._timing.dead)
        async with self._runtime.db.read() as conn:
            executor_ids = await conn.many(workers.executors_alive, str, since=since, latest=now + CLOCKS_DIFFER)
        if not self.is_leader:
            return
        if workflow_ids := await engine.take_over({*executor_ids, self._runtime.executor_id}):
            log.warning("jobs_taken_over", runs=workflow_ids)
        async with self._runtime.db.write() as conn:
            await conn.affected(workers.delete_dead_worker_heartbeats, before=since, latest=now + CLOCKS_DIFFER)
        if time.monotonic() >= self._purge_at:
            await engine.forget_runs(now)
            self._purge_at = time.monotonic() + PURGE_SECONDS

    async def _perform(self, name: str, slot: str) -> Mapping[str, object]:
        """Run one slot of a schedule; log its failure and raise it, so that the engine stores it."""
        run_log = log.bind(schedule=name, slot=slot)
        started_at = time.monotonic()
        try:
            schedule = self._schedules[name]
            async with asyncio.timeout(schedule.timeout_seconds):
                result = await schedule.run(Context(self._runtime, Actor("system", f"schedule {name}")))
        except UnavailableError as failure:
            run_log.warning("scheduled_run_interrupted", reason=str(failure))
            raise
        except Exception:
            run_log.exception("scheduled_run_failed")
            raise
        metrics.scheduled_runs.labels(name).inc()
        run_log.info("scheduled_run_finished", seconds=round(time.monotonic() - started_at, 3), result=dict(result))
        return result

    async def _perform_errand(self, name: str, row_id: int) -> Mapping[str, object]:
        """Run an errand for its row; log its failure and raise it, so that the engine stores it."""
        errand_log = log.bind(errand=name, row=row_id)
        try:
            errand = self._errands[name]
            async with asyncio.timeout(errand.timeout_seconds):
                return await errand.run(Context(self._runtime, Actor("system", f"errand {name}")), row_id)
        except (UnavailableError, DeliveryDeferredError) as failure:
            errand_log.warning("errand_interrupted", reason=str(failure))
            raise
        except Exception:
            errand_log.exception("errand_failed")
            raise

    async def _delete_row(self, statement: Executable, **values: str) -> None:
        """Delete this worker's lease or heartbeat; if that fails, the row expires by itself."""
        self._leads_until = -math.inf
        try:
            async with asyncio.timeout(END_SECONDS), self._row_lock, self._runtime.db.write() as conn:
                await conn.affected(statement, **values)
        except (UnavailableError, TimeoutError) as failure:
            log.warning("jobs_row_left_behind", reason=str(failure))


async def _end(task: asyncio.Task[None] | None) -> None:
    """Wait until a task has ended by itself, and cancel it if it takes too long."""
    if task is None:
        return
    _, unfinished = await asyncio.wait({task}, timeout=END_SECONDS)
    if unfinished:
        task.cancel()
        await asyncio.wait({task})


def _engine_class() -> type[Engine]:
    """Import the engine only here: the import takes a second and 30 MB, which commands need not spend."""
    from app.jobs.durable import Engine

    return Engine
