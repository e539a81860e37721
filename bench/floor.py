"""The floor of metering: a plain Core insert of the same rows into the same table, from this process."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import statistics
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert

from bench.load import Measured
from bench.seeding import Fleet, SeededDevice
from sql.tables import usage_events

INSERTS = {"insert": 1, "insert x4": 4}


async def plain_inserts(fleet: Fleet, *, batch: int, connections: int, seconds: float) -> Measured:
    """Transactions of so many rows, for so long; a request of the measurement is a transaction.

    On SQLite its one writer is the portal's own, so that four connections take turns.
    """
    took: list[float] = []
    numbers = itertools.count()
    run = secrets.token_hex(6)
    began = time.perf_counter()

    async def insert_until_the_end() -> None:
        while (started := time.perf_counter()) < began + seconds:
            number = next(numbers)
            rows = _rows(fleet.asking[number % len(fleet.asking)], f"{run}-{number}", batch)
            async with fleet.runtime.db.writer.begin() as connection:
                await connection.execute(insert(usage_events), rows)
            took.append(time.perf_counter() - started)

    await asyncio.gather(*(insert_until_the_end() for _ in range(connections)))
    spent = time.perf_counter() - began
    p50, p99 = (statistics.quantiles(took, n=100)[at] if len(took) > 1 else took[0] for at in (49, 98))
    return Measured(len(took), len(took) / spent, round(p50 * 1000, 3), round(p99 * 1000, 3), 0)


def _rows(device: SeededDevice, name: str, batch: int) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    same = {
        "tenant_id": device.tenant.id,
        "device_id": device.id,
        "kind": "run",
        "quantity": 1,
        "at": now,
        "day": now.date(),
        "metadata": None,
        "received_at": now,
    }
    return [{"event_id": f"{name}-{event}", **same} for event in range(batch)]
