"""The durable engine of one worker: DBOS, launched and called off the event loop, running its work on it.

Scheduled runs and errands are workflows of one step each, kept in the engine's own tables: schema ``dbos`` of the
same PostgreSQL database, or a file of its own beside the SQLite one, where its writes would make ours wait. The
engine takes work from a queue and runs it on a loop of its own; connections belong to the worker's loop, so every step
hands its body over to that one (``on_worker_loop``). Workflows are module-level functions and DBOS is one per process,
so what they run for is the process's too: ``Engine.current``, set by ``launch`` and cleared by ``destroy``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, cast

from dbos import DBOS, DBOSClient, DBOSConfig, WorkflowStatus
from psycopg import ClientCursor
from sqlalchemy.engine import URL

from app.errors import DeliveryDeferredError, UnavailableError
from app.jobs.engine_log import calm_logger
from app.settings import Settings, make_state_dir
from app.telemetry.log import library_level

Answer = TypeVar("Answer")
# Runs a slot of a schedule, or an errand for a row, by name.
Perform = Callable[[str, str], Awaitable[Mapping[str, object]]]
PerformErrand = Callable[[str, int], Awaitable[Mapping[str, object]]]

APPLICATION: Final = "addon-portal"
# Work is only taken over by a worker of the same version. Fixed, since what a step means is kept compatible; left to
# itself the engine would use a hash of the code and strand everything in flight at each deployment.
VERSION: Final = "1"
SCHEMA: Final = "dbos"
SQLITE_FILE: Final = "durable.db"

QUEUE: Final = "schedules"
RUN_PREFIX: Final = "schedule:"
# Errands have a queue of their own, so that neither they nor the schedules wait for each other.
ERRANDS_QUEUE: Final = "errands"
ERRANDS_PER_WORKER: Final = 8
# Runs at a time in one worker, so that slots that fall due together spread over the workers.
RUNS_PER_WORKER: Final = 4
# Threads in which the engine talks to its database; it would open one per operation in flight.
ENGINE_THREADS: Final = 8

# What met an outage is tried again after 5, 10, 20 and 40 s, which outlasts a restart of the database.
OUTAGE_ATTEMPTS: Final = 5
OUTAGE_WAIT_SECONDS: Final = 5.0

# A run is not taken over once it is this old: it may be what kills its workers, and its next slot is near.
TAKE_OVER_WITHIN: Final = timedelta(hours=24)
# Finished runs are kept this long for whoever looks into what happened.
KEEP_RUNS: Final = timedelta(days=30)
FORGET_AT_ONCE: Final = 1000

# How a workflow that will not go on has ended.
FAILED: Final = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

# Seconds that may pass beyond the grace until the engine has joined its threads.
DESTROY_SECONDS: Final = 30.0

# What asyncpg understands in a URL and libpq spells the same.
LIBPQ_OPTIONS: Final = frozenset({"host", "port", "passfile", "target_session_attrs", "krbsrvname", "gsslib"})


class RunFailedError(Exception):
    """A run failed; its text is what the engine keeps, since not every error can be pickled."""


class RunInterruptedError(RunFailedError):
    """A run failed because something that it needs did not answer; it is tried again."""


_OUTAGES: Final[dict[str, Any]] = {
    "retries_allowed": True,
    "interval_seconds": OUTAGE_WAIT_SECONDS,
    "max_attempts": OUTAGE_ATTEMPTS,
    "should_retry": lambda failure: isinstance(failure, RunInterruptedError),
}


async def _kept(body: Callable[[], Awaitable[Mapping[str, object]]]) -> dict[str, object]:
    try:
        return dict(await on_worker_loop(body))
    except (UnavailableError, DeliveryDeferredError) as failure:
        raise RunInterruptedError(str(failure)) from None
    except Exception as failure:  # noqa: BLE001 - whatever it is, the engine must be able to keep it
        raise RunFailedError(f"{type(failure).__name__}: {failure}") from None


@DBOS.step(name="perform", **_OUTAGES)
async def _perform(name: str, slot: str) -> dict[str, object]:
    return await _kept(partial(_engine().perform, name, slot))


@DBOS.step(name="perform_errand", **_OUTAGES)
async def _perform_errand(name: str, row_id: int) -> dict[str, object]:
    return await _kept(partial(_engine().perform_errand, name, row_id))


@DBOS.workflow(name="scheduled_run")
async def scheduled_run(name: str, slot: str) -> dict[str, object]:
    """Perform one slot of a schedule and answer what it reports."""
    return await _perform(name, slot)


@DBOS.workflow(name="errand")
async def errand(name: str, row_id: int) -> dict[str, object]:
    """Perform an errand for a row of ours and answer what it reports; the row is the truth."""
    return await _perform_errand(name, row_id)


async def on_worker_loop(body: Callable[[], Awaitable[Answer]]) -> Answer:
    """Run the body of a step on the worker's event loop, from the engine's, and wait for it.

    When the engine is destroyed the body is cancelled and the workflow stays as it is, for another worker. A
    cancellation that comes from within the body is a failure: the workflow would otherwise wait for nobody.
    """
    engine = _engine()

    async def run() -> Answer:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        engine.bodies.add(task)
        try:
            return await body()
        except asyncio.CancelledError:
            if engine.is_stopping:
                raise
            raise RuntimeError("the body was cancelled from within") from None
        finally:
            engine.bodies.discard(task)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), engine.loop))


class Engine:
    """DBOS in this process; make it on the event loop that the work belongs to.

    All calls run one after the other in one thread of its own. Those that ask the engine's tables use a client that
    raises when the database is away, where DBOS itself would keep the thread waiting for up to a minute and a half.
    """

    current: ClassVar[Engine | None] = None

    def __init__(
        self,
        settings: Settings,
        executor_id: str,
        perform: Perform,
        perform_errand: PerformErrand,
        *,
        poll_seconds: float,
        errand_poll_seconds: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.perform = perform
        self.perform_errand = perform_errand
        self.bodies: set[asyncio.Task[Any]] = set()
        self.is_stopping = False
        self.is_launched = False
        # When the engine's tables were made: slots before that never were anybody's to run.
        self.since = datetime.max.replace(tzinfo=UTC)
        self._settings = settings
        self._executor_id = executor_id
        self._poll_seconds = poll_seconds
        self._errand_poll_seconds = errand_poll_seconds
        self._client: DBOSClient | None = None
        self._calls = ThreadPoolExecutor(max_workers=1, thread_name_prefix="durable")

    async def launch(self) -> None:
        """Start the engine; raises whatever kept it from starting, after which it may be launched again."""
        if Engine.current not in {None, self}:
            raise RuntimeError("this process runs a durable engine already")
        Engine.current = self
        self.since = await self._call(self._launch)
        self.is_launched = True

    async def destroy(self, grace_seconds: float) -> None:
        """Stop taking work, wait for what runs, and stop; without grace, at once.

        What still runs after the grace is cancelled and left to whoever takes over from this worker.
        """
        loop = asyncio.get_running_loop()
        self.is_launched = False
        gone = loop.run_in_executor(self._calls, self._destroy, math.ceil(grace_seconds))
        cancelling = loop.call_later(grace_seconds, self._stop_bodies)
        # Waited for and never cancelled: a thread cannot be stopped.
        await asyncio.wait({gone}, timeout=grace_seconds + DESTROY_SECONDS)
        cancelling.cancel()
        self._stop_bodies()
        await asyncio.gather(*self.bodies, return_exceptions=True)
        Engine.current = None
        if not gone.done():
            self._calls.shutdown(wait=False)
            raise TimeoutError("the durable engine did not stop")
        await asyncio.to_thread(self._calls.shutdown)
        await gone

    async def enqueue(self, name: str, slot: datetime) -> None:
        """Put a slot of a schedule into the queue, unless it ever was there."""
        await self._call(self._enqueue, name, slot.astimezone(UTC).isoformat())

    async def enqueue_errand(self, name: str, row_id: int, *, again: bool = False) -> None:
        """Put an errand for a row into the queue, unless it ever was there; with ``again`` also one that failed."""
        await self._call(self._enqueue_errand, name, row_id, again)

    async def take_over(self, living: Collection[str]) -> list[str]:
        """Give the unfinished work of workers that are not among the living to one that is; answers its ids."""
        return await self._call(self._take_over, frozenset(living))

    async def forget_runs(self, now: datetime) -> None:
        """Delete runs that finished longer ago than they are kept."""
        await self._call(self._forget_runs, now - KEEP_RUNS)

    async def _call(self, call: Callable[..., Answer], *values: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._calls, partial(call, *values))

    def _stop_bodies(self) -> None:
        self.is_stopping = True
        for task in self.bodies:
            task.cancel()

    def _launch(self) -> datetime:
        url = engine_url(self._settings)
        if url.database and url.get_backend_name() == "sqlite":
            _prepare_file(Path(url.database))
        calm_logger()
        try:
            DBOS(config=_configuration(self._settings, url, self._executor_id))
            DBOS.launch()
            DBOS.register_queue(QUEUE, worker_concurrency=RUNS_PER_WORKER, polling_interval_sec=self._poll_seconds)
            DBOS.register_queue(
                ERRANDS_QUEUE,
                worker_concurrency=ERRANDS_PER_WORKER,
                polling_interval_sec=self._errand_poll_seconds,
            )
            self._client = DBOSClient(
                system_database_url=url.render_as_string(hide_password=False),
                dbos_system_schema=SCHEMA,
                system_database_pool_size=1,
                application_name=APPLICATION,
                lazy=True,
                retry_connection_errors=False,
            )
            made_at = min(version["created_at"] for version in self._client.list_application_versions())
        except BaseException:
            self._destroy(0)
            raise
        return datetime.fromtimestamp(made_at / 1000, UTC)

    def _destroy(self, grace_seconds: int) -> None:
        try:
            DBOS.destroy(workflow_completion_timeout_sec=grace_seconds)
        finally:
            if self._client is not None:
                self._client.destroy()
                self._client = None

    def _enqueue(self, name: str, slot: str) -> None:
        self._connected.enqueue(
            {
                "workflow_name": "scheduled_run",
                "queue_name": QUEUE,
                "workflow_id": f"{RUN_PREFIX}{name}:{slot}",
                "app_version": VERSION,
            },
            name,
            slot,
        )

    def _enqueue_errand(self, name: str, row_id: int, again: bool) -> None:
        workflow_id = f"{name}:{row_id}"
        if again and self._list_workflows(workflow_ids=[workflow_id], status=list(FAILED)):
            self._connected.delete_workflows([workflow_id])
        self._connected.enqueue(
            {
                "workflow_name": "errand",
                "queue_name": ERRANDS_QUEUE,
                "workflow_id": workflow_id,
                "app_version": VERSION,
            },
            name,
            row_id,
        )

    def _take_over(self, living: frozenset[str]) -> list[str]:
        """Resuming has no guard of its own against a healthy owner or a cancelled row, so each row is read again."""
        taken = []
        for listed in self._list_workflows(status="PENDING"):
            if listed.executor_id in living:
                continue
            row = next(iter(self._list_workflows(workflow_ids=[listed.workflow_id])), None)
            if row is None or row.status != "PENDING" or row.executor_id != listed.executor_id:
                continue
            if _is_too_old(row):
                self._connected.cancel_workflow(row.workflow_id)
            else:
                self._connected.resume_workflow(row.workflow_id, queue_name=row.queue_name)
                taken.append(row.workflow_id)
        return taken

    def _forget_runs(self, before: datetime) -> None:
        rows = self._list_workflows(completed_before=before.isoformat(), limit=FORGET_AT_ONCE)
        if rows:
            self._connected.delete_workflows([row.workflow_id for row in rows])

    def _list_workflows(self, **conditions: Any) -> list[WorkflowStatus]:
        return self._connected.list_workflows(**conditions, load_input=False, load_output=False)

    @property
    def _connected(self) -> DBOSClient:
        if self._client is None:
            raise RuntimeError("the durable engine is not launched")
        return self._client


def _engine() -> Engine:
    if Engine.current is None:
        raise RuntimeError("no durable engine runs in this process")
    return Engine.current


def engine_url(settings: Settings) -> URL:
    """Where the engine keeps its state: the same PostgreSQL through its own driver, or its own SQLite file."""
    url = settings.database
    if url.get_backend_name() == "sqlite":
        return URL.create("sqlite", database=str(settings.state_dir.absolute() / SQLITE_FILE))
    query = {name: value for name, value in url.query.items() if name in LIBPQ_OPTIONS}
    if "ssl" in url.query:
        query["sslmode"] = url.query["ssl"]
    return url.set(drivername="postgresql", query=query)


def _configuration(settings: Settings, url: URL, executor_id: str) -> DBOSConfig:
    return {
        "name": APPLICATION,
        "system_database_url": url.render_as_string(hide_password=False),
        "dbos_system_schema": SCHEMA,
        "sys_db_pool_size": settings.durable_pool_size,
        "db_engine_kwargs": {"connect_args": _connect_args(url), "hide_parameters": True},
        "executor_id": executor_id,
        "application_version": VERSION,
        "max_executor_threads": ENGINE_THREADS,
        # Nothing here waits for the engine's messages; listening would cost a connection and a hundred wake-ups a
        # second in every worker.
        "use_listen_notify": False,
        # The thread that would poll for them instead sleeps this long at a time, and is waited for at the end.
        "notification_listener_polling_interval_sec": 0.25,
        # Its own scheduler has nothing to find.
        "scheduler_polling_interval_sec": 3600.0,
        "log_level": logging.getLevelName(library_level(settings.log_level)),
    }


def _connect_args(url: URL) -> dict[str, Any]:
    """How the engine connects.

    One of its workers always sits in a transaction that holds its lock. In the extended protocol the cursor of the
    lock's statement stays open and with it a snapshot, so that no dead row of the whole database could be removed
    and a heartbeat's update never found room in its page; a simple query leaves none.
    """
    if url.get_backend_name() == "sqlite":
        return {}
    return {"application_name": "portal-durable", "cursor_factory": ClientCursor}


def _prepare_file(path: Path) -> None:
    """Let readers and the writer of the engine's file not wait for each other; the file remembers."""
    make_state_dir(path.parent)
    with contextlib.closing(sqlite3.connect(path, timeout=DESTROY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _is_too_old(row: WorkflowStatus) -> bool:
    age_seconds = time.time() - (row.created_at or 0) / 1000
    return row.workflow_id.startswith(RUN_PREFIX) and age_seconds > TAKE_OVER_WITHIN.total_seconds()
