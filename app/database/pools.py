"""How many connections the processes of a host hold on PostgreSQL, and how large the pools of a work process are."""

from __future__ import annotations

from typing import NamedTuple

from app.settings import Settings

# A work process has a dozen steps under way at most, and each holds a connection for milliseconds: four read at a time,
# and four write beside the heartbeat and the calls. What waits longer is only background work.
WORK_READERS = 4
WORK_WRITERS = 6
# The durable engine's client has one connection outside its pool.
ENGINE_CLIENTS = 1
# Left free in a worker for a connection that listens.
WORKER_LISTENERS = 1


class Connections(NamedTuple):
    """The most that each process of a host holds, and how many there are of each kind."""

    workers: int
    per_worker: int
    work_processes: int
    per_work_process: int

    @property
    def total(self) -> int:
        """The most that the host holds."""
        return self.workers * self.per_worker + self.work_processes * self.per_work_process


def work_settings(settings: Settings) -> Settings:
    """The settings of a work process, which answers no requests."""
    pools = {
        "read_pool_size": min(settings.read_pool_size, WORK_READERS),
        "write_pool_size": min(settings.write_pool_size, WORK_WRITERS),
    }
    return settings.model_copy(update=pools)


def connections(settings: Settings) -> Connections:
    """The connections of a host with these settings that serves."""
    engine = settings.durable_pool_size + ENGINE_CLIENTS
    work = work_settings(settings)
    return Connections(
        workers=settings.worker_count,
        per_worker=settings.read_pool_size
        + settings.write_pool_size
        + WORKER_LISTENERS
        + (engine if settings.workers_work else 0),
        work_processes=settings.work_process_count,
        per_work_process=work.read_pool_size + work.write_pool_size + engine,
    )
