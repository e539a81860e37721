"""What the doctor says of processes: their connections, and whether anybody does background work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Executable
from support.databases import settings_for

from app.commands.check_result import CheckResult
from app.commands.work_checks import connections, work
from app.runtime import Runtime
from app.settings import Settings
from sql.tables import errand_calls, worker_heartbeats

POSTGRES = "postgresql+asyncpg://nowhere/portal"


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    runtime = Runtime(settings)
    yield runtime
    await runtime.close()


async def store(runtime: Runtime, statement: Executable) -> None:
    async with runtime.db.write() as conn:
        await conn.affected(statement)


async def an_errand_waits(runtime: Runtime, **time: float) -> None:
    at = runtime.clock.now() - timedelta(**time)
    await store(runtime, errand_calls.insert().values(errand="note", row_id=1, called_at=at))


async def a_process_beats(runtime: Runtime) -> None:
    now = runtime.clock.now()
    beat = {"executor_id": "there", "host": "there", "started_at": now, "beat_at": now}
    await store(runtime, worker_heartbeats.insert().values(beat))


def elsewhere(runtime: Runtime) -> Settings:
    return runtime.settings.model_copy(update={"work_processes": "elsewhere"})


@pytest.mark.parametrize(
    ("work_processes", "told"),
    [
        ("auto", "4 workers x 15 + 1 work processes x 15 = 75 of the server's 97"),
        ("2", "4 workers x 15 + 2 work processes x 15 = 90 of the server's 97"),
        ("elsewhere", "4 workers x 15 = 60 of the server's 97"),
        ("0", "4 workers x 20 = 80 of the server's 97"),
    ],
)
def test_all_processes_of_a_host_with_four_workers_have_room(tmp_path: Path, work_processes: str, told: str) -> None:
    settings = settings_for(POSTGRES, tmp_path, workers=4, work_processes=work_processes)

    assert connections(settings, 97) == CheckResult("connections", "ok", told)


def test_small_pools_are_not_enlarged_for_work(tmp_path: Path) -> None:
    settings = settings_for(POSTGRES, tmp_path, workers=1, read_pool_size=2, write_pool_size=3)

    found = connections(settings, 15)

    assert found.status == "failure"
    assert found.detail.startswith("1 workers x 6 + 1 work processes x 10 = 16 of the server's 15; lower workers, ")


async def test_nobody_need_work_while_nothing_waits(runtime: Runtime) -> None:
    await an_errand_waits(runtime, seconds=10)

    found = await work(runtime.settings, runtime)

    assert found == CheckResult("work", "ok", "no process works now, and no errand is late")


async def test_work_that_is_left_to_nobody_is_a_warning(runtime: Runtime) -> None:
    found = await work(elsewhere(runtime), runtime)

    detail = "work_processes is elsewhere, and no process works now; start: portal work"
    assert found == CheckResult("work", "warning", detail)


async def test_an_errand_for_which_nobody_works_is_a_failure(runtime: Runtime) -> None:
    await an_errand_waits(runtime, minutes=5)

    found = [await work(settings, runtime) for settings in (runtime.settings, elsewhere(runtime))]

    assert {result.status for result in found} == {"failure"}
    assert "no process works, and an errand has waited for 30" in found[0].detail
    assert found[0].detail.endswith("seconds; start: portal serve, or portal work")
    assert found[1].detail.endswith("seconds; start: portal work")


async def test_processes_that_work_are_counted_and_warned_of_when_they_are_late(runtime: Runtime) -> None:
    await a_process_beats(runtime)
    in_time = await work(elsewhere(runtime), runtime)
    await an_errand_waits(runtime, minutes=5)

    late = await work(elsewhere(runtime), runtime)

    assert in_time == CheckResult("work", "ok", "processes that work now, on all hosts: 1")
    assert (late.status, late.detail.startswith(in_time.detail + "; an errand has waited for 30")) == ("warning", True)
