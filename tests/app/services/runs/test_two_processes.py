"""Watching what another process does: the doorbell tells at once, and a look now and then where a ring was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from support.databases import settings_for
from support.journey import until
from support.live import LiveServer
from support.rows import rows
from support.watching import Watchers, begun, happen

from app.database import doorbell
from app.runtime import Runtime
from app.services.runs import watches

LISTENING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'portal doorbell' AND datname = current_database()"
)
# Longer than a test may take.
NEVER = 3600.0


@pytest.fixture
async def other(database: str, tmp_path: Path) -> AsyncIterator[Runtime]:
    """What another process on the same database holds."""
    runtime = Runtime(settings_for(database, tmp_path))
    yield runtime
    await runtime.close()


@pytest.fixture
async def watchers() -> AsyncIterator[Watchers]:
    """Clients that hang up at the end of the test."""
    watchers = Watchers()
    yield watchers
    await watchers.hang_up()


async def listening(live: LiveServer) -> int:
    ((number,),) = await rows(live, text(LISTENING))
    return int(number)


async def test_what_another_process_does_is_told_though_its_ring_is_lost(
    other: Runtime, sanic_client: LiveServer, watchers: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "LOOK_SECONDS", 0.1)
    run = await begun(sanic_client)
    watching = [await watchers.watch(sanic_client, run) for _ in range(3)]
    await happen(other, run, 2, rings=False)
    for one in watching:
        await one.until(2)
    await happen(other, run, rings=False, ends=True)
    for one in watching:
        await watchers.ended(one)

    assert all(one.numbers == [1, 2, 3] and one.end == "run_ended" for one in watching)


@pytest.mark.postgresql_only("on SQLite a ring reaches its own process only")
async def test_a_ring_of_another_process_tells_at_once(
    other: Runtime, sanic_client: LiveServer, watchers: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "LOOK_SECONDS", NEVER)
    run = await begun(sanic_client)
    watching = await watchers.watch(sanic_client, run)
    for number in range(1, 6):
        await happen(other, run)
        await watching.until(number)

    assert watching.numbers == [1, 2, 3, 4, 5]


@pytest.mark.postgresql_only("on SQLite a ring reaches its own process only")
async def test_who_listens_has_one_connection_while_somebody_watches(
    sanic_client: LiveServer, watchers: Watchers
) -> None:
    runs = [await begun(sanic_client) for _ in range(2)]
    before = await listening(sanic_client)
    watching = [await watchers.watch(sanic_client, run) for run in runs for _ in range(10)]
    while not (most := await listening(sanic_client)):
        pass
    await happen(sanic_client.runtime, runs[0])
    await watching[0].until(1)
    idle = sanic_client.runtime.db.reader.pool.checkedout()  # type: ignore[attr-defined]
    most = max(most, await listening(sanic_client))
    await watchers.hang_up()
    while await listening(sanic_client):
        pass

    assert (before, most) == (0, 1)
    assert idle <= sanic_client.runtime.settings.read_pool_size


@pytest.mark.postgresql_only("on SQLite a ring reaches its own process only")
async def test_a_connection_that_was_lost_is_made_again_and_nothing_is_missed(
    other: Runtime, sanic_client: LiveServer, watchers: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "LOOK_SECONDS", NEVER)
    monkeypatch.setattr(doorbell, "RECONNECT_SECONDS", 0.1)
    run = await begun(sanic_client)
    watching = await watchers.watch(sanic_client, run)
    await happen(other, run)
    await watching.until(1)
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portal doorbell'"
    await rows(sanic_client, text(f"{ending} AND datname = current_database()"))
    # Rung while nobody hears it.
    await happen(other, run)
    await watching.until(2)
    await happen(other, run)
    await watching.until(3)

    assert watching.numbers == [1, 2, 3]
    assert await listening(sanic_client) == 1


@pytest.mark.postgresql_only("on SQLite a ring reaches its own process only")
async def test_rings_that_come_close_together_go_out_together(other: Runtime, sanic_client: LiveServer) -> None:
    heard: list[int | None] = []
    elsewhere: list[int | None] = []
    sanic_client.runtime.doorbell.listen("tests", heard.append)
    sanic_client.runtime.doorbell.listen("elsewhere", elsewhere.append)
    await until(lambda: heard == elsewhere == [None])
    statements: list[str] = []
    other.db._on_statement = lambda: statements.append("ring")
    for key in range(1000):
        other.doorbell.ring("tests", key)
        other.doorbell.ring("elsewhere", key)
    await until(lambda: len(heard) > 1000 and len(elsewhere) > 1000)
    sanic_client.runtime.doorbell.leave("tests")
    sanic_client.runtime.doorbell.leave("elsewhere")

    for keys in (heard, elsewhere):
        assert sorted(key for key in keys if key is not None) == list(range(1000))
    # So many keys fit into one notification.
    assert len(statements) == 2 * 4


async def test_a_process_hears_its_own_rings_once(sanic_client: LiveServer) -> None:
    heard: list[int | None] = []
    bell = sanic_client.runtime.doorbell
    bell.listen("tests", heard.append)
    if not sanic_client.runtime.db.is_sqlite:
        await until(lambda: heard == [None])
    for key in (1, 2):
        bell.ring("tests", key)
    await bell.close()
    bell.ring("tests", 3)

    assert [key for key in heard if key is not None] == [1, 2]
