"""The durable engine of one worker: DBOS, called in a thread, running its steps on the worker's event loop.

Each scheduled run and each errand is a workflow of one step, stored in the engine's own tables: in the schema ``dbos``
of the same PostgreSQL database, or in a file beside the SQLite database, where the engine's writes would block the
portal's. The engine takes work from a queue and runs it on its own event loop. Database connections belong to the
worker's event loop, so each step runs its body there (``run_on_worker_loop``). DBOS permits one instance per process
and its workflows are module-level functions, so they find the engine in ``Engine.current``, which ``launch`` sets and
``destroy`` clears.
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

from app.database.fitness import ENGINE_SCHEMA
from app.errors import DeliveryDeferredError, UnavailableError
from app.jobs.engine_log import configure_engine_log
from app.settings import Settings
from app.settings.state_folder import make_state_dir
from app.telemetry.log import library_level

Answer = TypeVar("Answer")
# Run a slot of a schedule, or an errand for a row, by name.
Perform = Callable[[str, str], Awaitable[Mapping[str, object]]]
PerformErrand = Callable[[str, int], Awaitable[Mapping[str, object]]]

APPLICATION: Final = "addon-portal"
# Workers take over work only of the same version. The version is fixed, because changes to the steps are kept
# compatible. By default the engine would use a hash of the code, and after a deployment nobody would take over
# unfinished work.
VERSION: Final = "1"
SQLITE_FILE: Final = "durable.db"

QUEUE: Final = "schedules"
RUN_PREFIX: Final = "schedule:"
# Errands have their own queue, so that errands and scheduled runs do not wait for each other.
ERRANDS_QUEUE: Final = "errands"
ERRANDS_PER_WORKER: Final = 8
# The maximum of concurrent runs in one worker, so that slots that fall due together are spread over the workers.
RUNS_PER_WORKER: Final = 4
# The maximum of threads in which the engine uses its database; by default it starts one per concurrent operation.
ENGINE_THREADS: Final = 8

# A step that met an outage is retried after 5, 10, 20 and 40 seconds, which outlasts a restart of the database.
OUTAGE_ATTEMPTS: Final = 5
OUTAGE_WAIT_SECONDS: Final = 5.0

# An older run is cancelled instead of taken over: it may be what crashes its workers, and its next slot is near.
MAX_TAKE_OVER_AGE: Final = timedelta(hours=24)
# Finished runs stay in the engine's tables for this long, for investigations.
KEEP_RUNS: Final = timedelta(days=30)
MAX_DELETED_RUNS: Final = 1000

# The statuses of workflows that will not run any more.
ENDED: Final = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
UNDER_WAY: Final = "PENDING"

# Seconds after the grace period until the engine must have joined its threads.
DESTROY_SECONDS: Final = 30.0


class RunFailedError(Exception):
    """A run has failed; the engine stores this error with its text, because not every error can be pickled."""


class RunInterruptedError(RunFailedError):
    """A run has failed because a service did not answer; the engine retries it."""


_RETRIES: Final[dict[str, Any]] = {
    "retries_allowed": True,
    "interval_seconds": OUTAGE_WAIT_SECONDS,
    "max_attempts": OUTAGE_ATTEMPTS,
    "should_retry": lambda failure: isinstance(failure, RunInterruptedError),
}


async def _run_step(body: Callable[[], Awaitable[Mapping[str, object]]]) -> dict[str, object]:
    try:
        return dict(await run_on_worker_loop(body))
    except (UnavailableError, DeliveryDeferredError) as failure:
        raise RunInterruptedError(str(failure)) from None
    except Exception as failure:  # noqa: BLE001 - the engine must be able to store any failure
        raise RunFailedError(f"{type(failure).__name__}: {failure}") from None


@DBOS.step(name="perform", **_RETRIES)
async def _perform(name: str, slot: str) -> dict[str, object]:
    return await _run_step(partial(_engine().perform, name, slot))


@DBOS.step(name="perform_errand", **_RETRIES)
async def _perform_errand(name: str, row_id: int) -> dict[str, object]:
    return await _run_step(partial(_engine().perform_errand, name, row_id))


@DBOS.workflow(name="scheduled_run")
async def scheduled_run(name: str, slot: str) -> dict[str, object]:
    """Run one slot of a schedule and return its report."""
    return await _perform(name, slot)


@DBOS.workflow(name="errand")
async def errand(name: str, row_id: int) -> dict[str, object]:
    """Run an errand for a row and return its report; the row's state decides whether anything is left to do."""
    return await _perform_errand(name, row_id)


async def run_on_worker_loop(body: Callable[[], Awaitable[Answer]]) -> Answer:
    """Run the body of a step on the worker's event loop, called from the engine's event loop, and wait for it.

    When the engine is destroyed it cancels the body, and the workflow stays pending for another worker. A cancellation
    that the body raises by itself counts as a failure: otherwise the workflow would stay pending with no worker to
    continue it.
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
    """DBOS in this process; must be constructed on the worker's event loop, where the steps will run.

    All calls run one after the other in a single thread. Calls that use the engine's tables go through a client that
    raises during an outage of the database; DBOS itself would block the thread for up to a minute and a half.
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
        at_once: Mapping[str, int] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.perform = perform
        self.perform_errand = perform_errand
        self.bodies: set[asyncio.Task[Any]] = set()
        self.is_stopping = False
        self.is_launched = False
        # The creation time of the engine's tables; no worker was responsible for slots before it.
        self.since = datetime.max.replace(tzinfo=UTC)
        self._settings = settings
        self._executor_id = executor_id
        self._poll_seconds = poll_seconds
        self._errand_poll_seconds = errand_poll_seconds
        # How many of an errand run at a time in this worker, for errands with a queue of their own.
        self._at_once = at_once or {}
        self._client: DBOSClient | None = None
        self._calls = ThreadPoolExecutor(max_workers=1, thread_name_prefix="durable")

    async def launch(self) -> None:
        """Start the engine; after a failure, which is raised, it may be launched again."""
        if Engine.current not in {None, self}:
            raise RuntimeError("this process runs a durable engine already")
        Engine.current = self
        self.since = await self._call(self._launch)
        self.is_launched = True

    async def destroy(self, grace_seconds: float) -> None:
        """Take no more work, wait for the running steps, and stop; with a grace of 0, stop at once.

        Steps that still run after the grace are cancelled, and another worker takes them over.
        """
        loop = asyncio.get_running_loop()
        self.is_launched = False
        destroyed = loop.run_in_executor(self._calls, self._destroy, math.ceil(grace_seconds))
        cancellation = loop.call_later(grace_seconds, self._stop_bodies)
        # asyncio.wait does not cancel the future at the time-out; its thread could not be stopped anyway.
        await asyncio.wait({destroyed}, timeout=grace_seconds + DESTROY_SECONDS)
        cancellation.cancel()
        self._stop_bodies()
        await asyncio.gather(*self.bodies, return_exceptions=True)
        Engine.current = None
        if not destroyed.done():
            self._calls.shutdown(wait=False)
            raise TimeoutError("the durable engine did not stop")
        await asyncio.to_thread(self._calls.shutdown)
        await destroyed

    async def enqueue(self, name: str, slot: datetime) -> None:
        """Put a slot of a schedule into the queue, unless it has ever been in it."""
        await self._call(self._enqueue, name, slot.astimezone(UTC).isoformat())

    async def enqueue_errand(self, name: str, row_id: int, *, again: bool = False) -> bool:
        """Put a row's errand into the queue, unless it was ever in it, ``again`` if it has ended; False if it runs."""
        return await self._call(self._enqueue_errand, name, row_id, again)

    async def take_over(self, living_ids: Collection[str]) -> list[str]:
        """Queue the unfinished work of workers that are not in ``living_ids`` again; returns its workflow ids."""
        return await self._call(self._take_over, frozenset(living_ids))

    async def forget_runs(self, now: datetime) -> None:
        """Delete the runs that finished longer than KEEP_RUNS ago."""
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
        configure_engine_log()
        try:
            DBOS(config=_configuration(self._settings, url, self._executor_id))
            DBOS.launch()
            DBOS.register_queue(QUEUE, worker_concurrency=RUNS_PER_WORKER, polling_interval_sec=self._poll_seconds)
            errands = {ERRANDS_QUEUE: ERRANDS_PER_WORKER} | {_own_queue(name): n for name, n in self._at_once.items()}
            for queue, at_once in errands.items():
                DBOS.register_queue(queue, worker_concurrency=at_once, polling_interval_sec=self._errand_poll_seconds)
            self._client = DBOSClient(
                system_database_url=url.render_as_string(hide_password=False),
                dbos_system_schema=ENGINE_SCHEMA,
                system_database_pool_size=1,
                application_name=APPLICATION,
                lazy=True,
                retry_connection_errors=False,
            )
            created_at = min(version["created_at"] for version in self._client.list_application_versions())
        except BaseException:
            self._destroy(0)
            raise
        return datetime.fromtimestamp(created_at / 1000, UTC)

    def _destroy(self, grace_seconds: int) -> None:
        try:
            DBOS.destroy(workflow_completion_timeout_sec=grace_seconds)
        finally:
            if self._client is not None:
                self._client.destroy()
                self._client = None

    def _enqueue(self, name: str, slot: str) -> None:
        self._launched_client.enqueue(
            {
                "workflow_name": "scheduled_run",
                "queue_name": QUEUE,
                "workflow_id": f"{RUN_PREFIX}{name}:{slot}",
                "app_version": VERSION,
            },
            name,
            slot,
        )

    def _enqueue_errand(self, name: str, row_id: int, again: bool) -> bool:
        workflow_id = f"{name}:{row_id}"
        if again and (found := self._list_workflows(workflow_ids=[workflow_id])):
            if found[0].status not in ENDED:
                return found[0].status != UNDER_WAY
            self._launched_client.delete_workflows([workflow_id])
        self._launched_client.enqueue(
            {
                "workflow_name": "errand",
                "queue_name": _own_queue(name) if name in self._at_once else ERRANDS_QUEUE,
                "workflow_id": workflow_id,
                "app_version": VERSION,
            },
            name,
            row_id,
        )
        return True

    def _take_over(self, living_ids: frozenset[str]) -> list[str]:
        """Read each row again first: resuming checks neither the worker's life nor the workflow's cancellation."""
        workflow_ids = []
        for workflow in self._list_workflows(status="PENDING"):
            if workflow.executor_id in living_ids:
                continue
            current = next(iter(self._list_workflows(workflow_ids=[workflow.workflow_id])), None)
            if current is None or current.status != "PENDING" or current.executor_id != workflow.executor_id:
                continue
            if _is_too_old(current):
                self._launched_client.cancel_workflow(current.workflow_id)
            else:
                self._launched_client.resume_workflow(current.workflow_id, queue_name=current.queue_name)
                workflow_ids.append(current.workflow_id)
        return workflow_ids

    def _forget_runs(self, before: datetime) -> None:
        rows = self._list_workflows(completed_before=before.isoformat(), limit=MAX_DELETED_RUNS)
        if rows:
            self._launched_client.delete_workflows([row.workflow_id for row in rows])

    def _list_workflows(self, **conditions: Any) -> list[WorkflowStatus]:
        return self._launched_client.list_workflows(**conditions, load_input=False, load_output=False)

    @property
    def _launched_client(self) -> DBOSClient:
        if self._client is None:
            raise RuntimeError("the durable engine is not launched")
        return self._client


def _own_queue(errand: str) -> str:
    return f"{ERRANDS_QUEUE}:{errand}"


def _engine() -> Engine:
    if Engine.current is None:
        raise RuntimeError("no durable engine runs in this process")
    return Engine.current


def engine_url(settings: Settings) -> URL:
    """The URL of the engine's database: the same PostgreSQL with another driver, or the engine's own SQLite file."""
    url = settings.database
    if url.get_backend_name() == "sqlite":
        return URL.create("sqlite", database=str(settings.state_dir.absolute() / SQLITE_FILE))
    return url.set(drivername="postgresql", query={**url.query, **settings.database_address.options})


def _configuration(settings: Settings, url: URL, executor_id: str) -> DBOSConfig:
    return {
        "name": APPLICATION,
        "system_database_url": url.render_as_string(hide_password=False),
        "dbos_system_schema": ENGINE_SCHEMA,
        "sys_db_pool_size": settings.durable_pool_size,
        "db_engine_kwargs": {"connect_args": _connect_args(url), "hide_parameters": True},
        "executor_id": executor_id,
        "application_version": VERSION,
        "max_executor_threads": ENGINE_THREADS,
        # The portal uses none of the engine's messages; listening for them would cost a connection and a hundred
        # wake-ups a second in every worker.
        "use_listen_notify": False,
        # Without listening, a thread polls for messages at this interval; at the end the engine waits for that thread.
        "notification_listener_polling_interval_sec": 0.25,
        # The engine's own scheduler is not used, so it has nothing to poll for.
        "scheduler_polling_interval_sec": 3600.0,
        "log_level": logging.getLevelName(library_level(settings.log_level)),
    }


def _connect_args(url: URL) -> dict[str, Any]:
    """The driver's options.

    One of the engine's threads always has a transaction open, which holds its lock. With the extended query protocol
    the cursor of the lock's statement would stay open and hold a snapshot. PostgreSQL could then remove no dead row
    anywhere in the database, and heartbeats would find no space in their page for a heap-only update. ClientCursor
    sends simple queries, which leave no snapshot open.
    """
    if url.get_backend_name() == "sqlite":
        return {}
    return {"application_name": "portal-durable", "cursor_factory": ClientCursor}


def _prepare_file(path: Path) -> None:
    """Set WAL mode, which the file keeps, so that its readers and its writer do not block each other."""
    make_state_dir(path.parent)
    with contextlib.closing(sqlite3.connect(path, timeout=DESTROY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _is_too_old(row: WorkflowStatus) -> bool:
    age_seconds = time.time() - (row.created_at or 0) / 1000
    return row.workflow_id.startswith(RUN_PREFIX) and age_seconds > MAX_TAKE_OVER_AGE.total_seconds()
