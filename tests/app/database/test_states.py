"""States of the database: what no statement is to blame for is told as 503 with its cause, and mends itself."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import asyncpg
import pytest
from httpx2 import Response
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url
from structlog.testing import capture_logs
from support.builders import Activated, activated
from support.disks import fill, mounted
from support.live import LiveServer, live_server
from support.rows import change

from app.database import room
from app.settings import Settings

# Made by a trigger of the test, so that the server itself says it, of an UPDATE that a device's heartbeat sends.
STATES = {
    "53100": "DiskFullError",
    "53200": "OutOfMemoryError",
    "53300": "TooManyConnectionsError",
    "53400": "ConfigurationLimitExceededError",
    "25006": "ReadOnlySQLTransactionError",
    "55P03": "LockNotAvailableError",
    "57P03": "CannotConnectNowError",
    "58030": "PostgresIOError",
}
FAULT = (
    "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'as a test wants it' USING ERRCODE = '{state}'; END $$"
)


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server that logs warnings."""
    async with live_server(settings.model_copy(update={"log_level": "warning"})) as server:
        yield server


def beat(live: LiveServer, device: Activated) -> Awaitable[Response]:
    body = {"hw_fingerprint": device.hw_fingerprint}
    return live.http.post("/licenses/heartbeat", headers=device.headers, json=body)


async def on_server(live: LiveServer, *statements: str) -> None:
    """Run statements on the server, beside the database."""
    dsn = make_url(live.runtime.settings.database.render_as_string(hide_password=False))
    connection = await asyncpg.connect(dsn.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.postgresql_only("SQLite has no such states")
async def test_a_state_of_the_server_is_503_with_its_cause_in_the_log(live: LiveServer) -> None:
    device = await activated(live)
    told: dict[str, tuple[int, str]] = {}
    try:
        for state in STATES:
            await on_server(live, FAULT.format(state=state))
            if not told:
                trigger = "CREATE TRIGGER fault BEFORE UPDATE ON devices FOR EACH ROW EXECUTE FUNCTION fault()"
                await on_server(live, trigger)
            with capture_logs() as logged:
                answer = await beat(live, device)
            (line,) = [each for each in logged if each["event"] == "unavailable"]
            told[state] = answer.status_code, line["cause"]
    finally:
        await on_server(live, "DROP TRIGGER IF EXISTS fault ON devices", "DROP FUNCTION IF EXISTS fault()")

    assert told == {state: (503, f"{name} {state}: as a test wants it") for state, name in STATES.items()}
    assert (await beat(live, device)).status_code == 200


@pytest.mark.postgresql_only("a file is read-only for all connections alike")
async def test_connections_to_what_was_read_only_are_replaced_once_it_is_writable(live: LiveServer) -> None:
    device = await activated(live)
    name = live.runtime.settings.database.database
    own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"

    async def written() -> None:
        await change(live, text("UPDATE devices SET last_seen = now()"))

    try:
        await on_server(live, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on', own.format(name))
        while (during := await beat(live, device)).status_code == 503:
            with capture_logs() as logged:
                during = await beat(live, device)
            if [each for each in logged if "ReadOnly" in str(each.get("cause"))]:
                break
        # Several at once, so that several connections are read-only.
        more = await asyncio.gather(*(written() for _ in range(3)), return_exceptions=True)
    finally:
        await on_server(live, "SET default_transaction_read_only = off", f'ALTER DATABASE "{name}" RESET ALL')

    assert during.status_code == 503
    assert [type(each).__name__ for each in more] == ["DatabaseUnavailableError"] * 3
    after = [(await beat(live, device)).status_code]
    await asyncio.gather(*(written() for _ in range(3)))
    assert after == [200]


@pytest.mark.sqlite_only("PostgreSQL's states are above")
async def test_what_sqlite_says_is_the_cause(live: LiveServer) -> None:
    device = await activated(live)
    async with live.runtime.db.write_autocommit() as conn:
        await conn.affected(text("PRAGMA query_only = on"))
    with capture_logs() as logged:
        refused = await beat(live, device)

    assert refused.status_code == 503
    assert [line["cause"] for line in logged if line["event"] == "unavailable"] == [
        "OperationalError: attempt to write a readonly database"
    ]
    # Its connection was replaced.
    assert (await beat(live, device)).status_code == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of some megabytes."""
    with mounted(tmp_path / "disk", 8) as folder:
        yield folder


@pytest.mark.sqlite_only("it is the server whose disk is full")
async def test_a_file_on_a_full_disk_is_not_ready(
    settings: Settings, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_disk / "portal.db"
    shutil.copy(str(settings.database.database), path)
    moved = settings.model_copy(
        update={"database_url": SecretStr(f"sqlite+aiosqlite:///{path}"), "log_level": "warning"}
    )
    async with live_server(moved) as live:
        device = await activated(live)
        statuses = [(await live.http.get("/readyz")).status_code]
        filler = fill(small_disk)
        monkeypatch.setattr(room, "LOOK_AGAIN_SECONDS", 0)
        with capture_logs() as logged:
            beats = [(await beat(live, device)).status_code for _ in range(3)]
            statuses.append((await live.http.get("/readyz")).status_code)
        # Whoever only asks is answered.
        policy = await live.http.get("/licenses/policy", headers=device.headers)
        filler.unlink()
        statuses.append((await live.http.get("/readyz")).status_code)
        after = await beat(live, device)

    assert (statuses, beats[-1], policy.status_code, after.status_code) == ([200, 503, 200], 503, 200, 200)
    causes = {line["cause"] for line in logged}
    assert causes == {"OperationalError: database or disk is full", "OSError: No space left on device"}
