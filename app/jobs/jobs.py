"""The jobs of one worker: its heartbeat, the lease by which one worker leads, and schedules that run once.

Every worker beats; the one that holds the lease is the leader. It puts the slots of every schedule into the durable
engine's queue when they fall due, under an id made of schedule and slot, so that a slot runs once however many
workers there are and whoever led when. It is also the only one that gives the work of dead workers to living ones.

An errand is work for one row of ours, which is committed first and then put into the queue under the row's id; the
leader sweeps up rows whose errand was missed.

The engine's own scheduler is not used: a slot whose moment meets an outage is lost to it, what it catches up after a
standstill is every slot since the last one, and it costs each worker a thread per schedule. The queue, the unique id
and the take-over are the engine's.
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

from app.context import Actor, Context
from app.errors import DeliveryDeferredError, UnavailableError
from app.jobs.work import Errand, Schedule
from app.runtime import Runtime
from app.telemetry import metrics
from sql.statements import workers

if TYPE_CHECKING:
    from app.jobs.durable import Engine

log = structlog.get_logger(__name__)

LEASE: Final = "leader"
# The latest slot that fell due while nobody led is run if it is not older than this.
CATCH_UP: Final = timedelta(hours=24)
# Seconds between two removals of finished runs.
FORGET_SECONDS: Final = 3600.0
# Seconds until the first heartbeat is looked for again.
START_SECONDS: Final = 0.1
# Seconds in which a row's errand gets into the queue, or is left to the sweep.
ENQUEUE_SECONDS: Final = 30.0
# Seconds a background task is given to notice that it should end; then it is cancelled.
END_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between heartbeats, until a lease runs out, and until a worker without a heartbeat counts as dead.

    Two beats may fail before leadership moves, three before work does. A dead leader's lease runs out after 15 s at
    most, its successor beats within 5 s and takes over its work once it is 20 s silent: well within a minute.
    """

    beat: float = 5.0
    lease: float = 15.0
    dead: float = 20.0
    # After a failure, so that a living worker has beaten again before anybody may call it dead.
    retry: float = 2.0
    # Between two looks at the queue: how late a run may start, against a query per worker each time.
    poll: float = 2.0
    # The same for errands, which somebody waits for; and between two sweeps for those that were missed.
    errand_poll: float = 1.0
    sweep: float = 60.0


class Jobs:
    """Heartbeat, leadership and schedules of one worker; one per process, launched on the worker's loop."""

    def __init__(
        self,
        runtime: Runtime,
        schedules: Sequence[Schedule],
        pace: Pace | None = None,
        errands: Sequence[Errand] = (),
    ) -> None:
        self._runtime = runtime
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._errands = {errand.name: errand for errand in errands}
        self._enqueueing: set[asyncio.Task[None]] = set()
        runtime.enqueue = self.enqueue
        self._pace = pace or Pace()
        self._engine: Engine | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._leadership: asyncio.Task[None] | None = None
        self._ending, self._silent, self._running = asyncio.Event(), asyncio.Event(), asyncio.Event()
        # One change of our rows at a time, so that a lease that was given back is not taken by a beat under way.
        self._rows = asyncio.Lock()
        # On the monotonic clock: the last beat, the first beat of an unbroken series, the end of our lease.
        self._beat_at = self._steady_since = self._leads_until = -math.inf
        self._reap_at = self._forget_at = self._sweep_at = time.monotonic()
        # The latest slot that was put into the queue, by schedule.
        self._enqueued: dict[str, datetime] = {}

    @property
    def is_running(self) -> bool:
        """Whether this worker takes work."""
        return self._running.is_set() and not self._ending.is_set()

    @property
    def is_leader(self) -> bool:
        """Whether this worker's lease holds at this moment."""
        return time.monotonic() < self._leads_until

    async def launch(self) -> None:
        """Begin in the background; a database that is away is waited for."""
        self._heartbeat = asyncio.create_task(self._repeat(self._beat, self._silent), name="jobs-heartbeat")
        self._leadership = asyncio.create_task(self._repeat(self._lead, self._ending), name="jobs-leadership")

    async def wait_until_running(self) -> None:
        """Return once this worker takes work."""
        await self._running.wait()

    def enqueue(self, errand: str, row_id: int) -> None:
        """Have an errand run for a committed row, without waiting for the engine; what fails here is swept up."""
        task = asyncio.create_task(self._enqueue_errand(errand, row_id), name=f"jobs-{errand}-{row_id}")
        self._enqueueing.add(task)
        task.add_done_callback(self._enqueueing.discard)

    async def stop(self, grace_seconds: float) -> None:
        """Lead no more, take no work, and wait this many seconds for what runs.

        What still runs then is cancelled, and a living worker takes it over.
        """
        self._ending.set()
        await _end(self._leadership)
        await self._end_enqueueing()
        await self._leave(workers.release_lease, name=LEASE, holder=self._runtime.executor_id)
        if self._engine is not None:
            try:
                await self._engine.destroy(grace_seconds)
            except Exception as failure:  # noqa: BLE001 - our rows must go, whatever the engine does
                log.warning("jobs_engine_not_stopped", reason=str(failure))
        self._silent.set()
        await _end(self._heartbeat)
        await self._leave(workers.delete_worker_heartbeat, executor_id=self._runtime.executor_id)

    async def _repeat(self, step: Callable[[], Awaitable[float]], ending: asyncio.Event) -> None:
        """Do a step again and again, whatever it raises; it answers the seconds until the next time."""
        failures = 0
        while not ending.is_set():
            try:
                pause = await step()
            except Exception as failure:
                # Nobody leads without a database; the next good beat says whether it is still us.
                self._leads_until = -math.inf
                pause = min(self._pace.retry * 2 ** min(failures, 10), self._pace.beat)
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
        """Say that this worker lives, and take or keep the lease if it takes work."""
        began, now = time.monotonic(), self._runtime.clock.now()
        holder = None
        async with self._rows, self._runtime.db.write() as conn:
            await conn.affected(
                workers.record_worker_heartbeat,
                executor_id=self._runtime.executor_id,
                host=socket.gethostname(),
                started_at=now,
                beat_at=now,
            )
            if self.is_running:
                expires_at = now + timedelta(seconds=self._pace.lease)
                lease = {"name": LEASE, "holder": self._runtime.executor_id, "expires_at": expires_at, "now": now}
                holder = await conn.maybe(workers.take_lease, str, **lease)
        if began - self._beat_at > 2 * self._pace.beat:
            self._steady_since = began
        self._beat_at = began
        led, self._leads_until = self.is_leader, began + self._pace.lease if holder else -math.inf
        if led != self.is_leader:
            log.info("jobs_leader", leads=self.is_leader)
        return self._pace.beat if self.is_running else self._pace.retry

    async def _lead(self) -> float:
        """Launch the engine, after the first beat: work of a worker without one would be taken away; then lead."""
        if self._beat_at == -math.inf:
            return START_SECONDS
        engine = await self._launched_engine()
        if not self.is_leader:
            return self._pace.beat
        pause = await self._enqueue_due(engine)
        if time.monotonic() >= self._reap_at:
            await self._take_over(engine)
        if time.monotonic() >= self._sweep_at:
            await self._sweep(engine)
        return min(pause, self._pace.beat)

    async def _launched_engine(self) -> Engine:
        if self._engine is None:
            engine_class = await asyncio.to_thread(_engine_class)
            settings, executor_id = self._runtime.settings, self._runtime.executor_id
            self._engine = engine_class(
                settings,
                executor_id,
                self._perform,
                self._perform_errand,
                poll_seconds=self._pace.poll,
                errand_poll_seconds=self._pace.errand_poll,
            )
        if not self._engine.is_launched:
            await self._engine.launch()
            self._running.set()
        return self._engine

    async def _enqueue_due(self, engine: Engine) -> float:
        """Put what is due into the queue; answers the seconds until the next slot."""
        now, zone = self._runtime.clock.now(), self._runtime.zone
        earliest = max(engine.since, now - CATCH_UP)
        for schedule in self._schedules.values():
            slot = schedule.latest_slot(now, zone)
            if slot > self._enqueued.get(schedule.name, earliest):
                await engine.enqueue(schedule.name, slot)
                self._enqueued[schedule.name] = slot
        waits = [(schedule.next_slot(now, zone) - now).total_seconds() for schedule in self._schedules.values()]
        return min(waits, default=self._pace.beat)

    async def _enqueue_errand(self, errand: str, row_id: int) -> None:
        try:
            async with asyncio.timeout(ENQUEUE_SECONDS):
                await self._running.wait()
                if self._engine is not None and self._engine.is_launched:
                    await self._engine.enqueue_errand(errand, row_id)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the row waits and is swept up
            log.warning("errand_not_enqueued", errand=errand, row=row_id, reason=str(failure))

    async def _end_enqueueing(self) -> None:
        """Let what is on its way into the queue get there; without an engine it waits for nobody."""
        if self._enqueueing and self._running.is_set():
            await asyncio.wait(self._enqueueing, timeout=END_SECONDS)
        for task in self._enqueueing:
            task.cancel()

    async def _sweep(self, engine: Engine) -> None:
        """Put errands into the queue whose rows wait for longer than they should."""
        self._sweep_at = time.monotonic() + self._pace.sweep
        for errand in self._errands.values():
            missed = await errand.waiting(Context(self._runtime, Actor("system", f"errand {errand.name}")))
            for row_id in missed:
                await engine.enqueue_errand(errand.name, row_id, again=True)
            if missed:
                log.info("errands_swept", errand=errand.name, rows=len(missed))

    async def _take_over(self, engine: Engine) -> None:
        """Give the work of dead workers to living ones, and forget them.

        After an outage, or a standstill of this machine, every heartbeat is old: only who has beaten all the while
        may call another dead.
        """
        self._reap_at = time.monotonic() + self._pace.beat
        if time.monotonic() - self._steady_since < self._pace.dead:
            return
        now = self._runtime.clock.now()
        since = now - timedelta(seconds=self._pace.dead)
        async with self._runtime.db.read() as conn:
            living = await conn.many(workers.executors_alive, str, since=since)
        if not self.is_leader:
            return
        if taken := await engine.take_over({*living, self._runtime.executor_id}):
            log.warning("jobs_taken_over", runs=taken)
        async with self._runtime.db.write() as conn:
            await conn.affected(workers.delete_dead_worker_heartbeats, before=since)
        if time.monotonic() >= self._forget_at:
            await engine.forget_runs(now)
            self._forget_at = time.monotonic() + FORGET_SECONDS

    async def _perform(self, name: str, slot: str) -> Mapping[str, object]:
        """Run one slot of a schedule; what it raises is logged here and kept by the engine."""
        run_log = log.bind(schedule=name, slot=slot)
        began = time.monotonic()
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
        run_log.info("scheduled_run_finished", seconds=round(time.monotonic() - began, 3), result=dict(result))
        return result

    async def _perform_errand(self, name: str, row_id: int) -> Mapping[str, object]:
        """Run an errand for its row; what it raises is logged here and kept by the engine."""
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

    async def _leave(self, statement: Executable, **values: str) -> None:
        """Take a row of ours back; if that fails it runs out by itself."""
        self._leads_until = -math.inf
        try:
            async with asyncio.timeout(END_SECONDS), self._rows, self._runtime.db.write() as conn:
                await conn.affected(statement, **values)
        except (UnavailableError, TimeoutError) as failure:
            log.warning("jobs_row_left_behind", reason=str(failure))


async def _end(task: asyncio.Task[None] | None) -> None:
    """Wait until a task that was told to end has ended."""
    if task is None:
        return
    _, unfinished = await asyncio.wait({task}, timeout=END_SECONDS)
    if unfinished:
        task.cancel()
        await asyncio.wait({task})


def _engine_class() -> type[Engine]:
    """Import the engine, which takes a second and 30 MB that only a server should spend."""
    from app.jobs.durable import Engine

    return Engine
