"""A work process: it answers no requests, and runs schedules and errands with a durable engine of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import structlog
from sanic.server.loop import try_use_uvloop

from app.commands.worker import END_SECONDS, live_as_child
from app.database import schema
from app.database.pools import work_settings
from app.errors import PortalError
from app.jobs.jobs import Jobs, Timing
from app.jobs.schedules import ERRANDS, schedules
from app.runtime import Runtime
from app.settings import Settings
from app.telemetry import metrics
from app.telemetry.log import configure_logging

# A work process looks into the queue of errands more often than a worker that works as well: it takes few of them at a
# time, there are fewer such processes, and a look costs half a percent of a core a second.
TIMING = Timing(errand_poll=0.25)
# How far it stands behind the workers where they want the same core: devices wait for answers, and nobody for work to
# the millisecond. It still gets a tenth of a core that they keep busy, enough for its heartbeats and for mail.
NICENESS = 10

log = structlog.get_logger(__name__)


def work(settings: Settings, on_working: Callable[[], object] | None = None) -> None:
    """Run this process until SIGTERM; ``on_working`` is called once it takes work."""
    configure_logging(settings)
    live_as_child(settings.shutdown_grace_seconds + END_SECONDS)
    os.nice(NICENESS)
    try_use_uvloop()
    try:
        asyncio.run(_work(work_settings(settings), on_working))
    except PortalError as failure:
        # Whoever operates it can mend this by the reason alone.
        log.error("work_process_not_started", pid=os.getpid(), reason=failure.detail)  # noqa: TRY400
        sys.exit(1)


async def _work(settings: Settings, on_working: Callable[[], object] | None) -> None:
    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    runtime = Runtime(settings)
    try:
        await schema.check_current(settings)
        await runtime.start()
        jobs = Jobs(runtime, schedules(settings), TIMING, ERRANDS)
        await jobs.launch()
        log.info("work_process_started", pid=os.getpid())
        announcing = asyncio.create_task(_announce(jobs, on_working))
        await told_to_stop.wait()
        announcing.cancel()
        # Steps may use shared statements until they end, so those are drained last.
        await jobs.stop(settings.shutdown_grace_seconds)
        await runtime.drain()
    finally:
        await runtime.close()
        metrics.forget_process(os.getpid())
    log.info("work_process_stopped", pid=os.getpid())


async def _announce(jobs: Jobs, on_working: Callable[[], object] | None) -> None:
    await jobs.wait_until_running()
    log.info("work_process_works", pid=os.getpid())
    if on_working is not None:
        on_working()
