"""Behind PgBouncer, which lends a connection for a transaction: requests go through it, work and listening past it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from support.builders import activated, licensed
from support.databases import settings_for
from support.jobs import PATIENCE, QUICK, until
from support.live import live_server
from support.programs import free_port, opened_to, program, started

from app.commands.output import reason_of
from app.commands.work_checks import pooler
from app.database.doorbell import Doorbell
from app.errors import DatabaseUnavailableError, SettingsError
from app.jobs.jobs import Jobs
from app.runtime import Runtime
from app.settings import load_settings
from sql.statements import database_server

pytestmark = pytest.mark.postgresql_only("a file has no pooler before it")
SERVERS = 2
SLOW = text("SELECT pg_sleep(0.005)")
SESSIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'portal'"
)


@contextlib.contextmanager
def bouncer(server: str, *, connect_query: str = "") -> Iterator[str]:
    """The address of the same database behind PgBouncer, which has two connections to the server for everybody."""
    command = program("pgbouncer")
    url, port = make_url(server), free_port()
    with tempfile.TemporaryDirectory(prefix="portal-pooler-") as name:
        folder = Path(name)
        host = url.host or str(url.query["host"])
        # Whoever may reach the server's socket; PgBouncer itself refuses to run as root.
        user = Path(host).owner() if host.startswith("/") else "nobody"
        opened_to(user, folder)
        query = f" connect_query='{connect_query}'" if connect_query else ""
        (folder / "users.txt").write_text(f'"{url.username}" "{url.password or ""}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={host} port={url.port or 5432} user={url.username}{query}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"auth_file = {folder}/users.txt\npool_mode = transaction\ndefault_pool_size = {SERVERS}\n"
        )
        with started([command, str(folder / "pgbouncer.ini")], port, folder / "log", user=user):
            place = URL.create(url.drivername, url.username, url.password, "127.0.0.1", port, url.database)
            yield place.render_as_string(hide_password=False)


@pytest.fixture
def pooled(database: str) -> Iterator[str]:
    with bouncer(database) as address:
        yield address


async def repeated(runtime: Runtime) -> None:
    """The same statement in one transaction after another."""
    for _ in range(10):
        async with runtime.db.read() as conn:
            await conn.rows(SLOW)


async def test_requests_of_many_clients_share_two_connections_and_no_statement_is_missed(
    database: str, pooled: str, tmp_path: Path
) -> None:
    settings = settings_for(database, tmp_path, database_pooler=pooled)
    async with live_server(settings) as live:
        device = await activated(live, await licensed(live))
        answers = await asyncio.gather(*(live.http.get("/licenses/policy", headers=device.headers) for _ in range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await live.http.get("/readyz")).status_code == 200
        # More transactions at once than there are sessions: each finds another one than the last time.
        await asyncio.gather(*(repeated(live.runtime) for _ in range(3 * SERVERS)))
        async with live.runtime.db.read() as conn:
            assert 1 <= await conn.one(SESSIONS, int) <= SERVERS


async def test_what_listens_and_what_works_go_past_the_pooler(database: str, pooled: str, tmp_path: Path) -> None:
    runtime = Runtime(settings_for(database, tmp_path, database_pooler=pooled))
    bell, heard = Doorbell(runtime.settings, runtime.db), []
    jobs = Jobs(runtime, (), QUICK, ())
    try:
        bell.listen("note", heard.append)
        await until(lambda: _is_there(heard))
        other = Doorbell(runtime.settings, runtime.db)
        other.ring("note", 7)
        await until(lambda: _is_there(7 in heard))
        await other.close()
        await jobs.launch()
        await asyncio.wait_for(jobs.wait_until_running(), PATIENCE)
    finally:
        await jobs.stop(10.0)
        await bell.close()
        await runtime.close()


async def _is_there(what: object) -> bool:
    return bool(what)


async def test_without_the_setting_a_pooler_is_no_database(pooled: str, tmp_path: Path) -> None:
    """What the setting is for: the pooler refuses what the portal's sessions begin with."""
    runtime = Runtime(settings_for(pooled, tmp_path))
    try:
        with pytest.raises(DatabaseUnavailableError) as refused:
            async with runtime.db.read() as conn:
                await conn.one(database_server.postgresql_version, str)
        assert "unsupported startup parameter" in reason_of(refused.value)
        assert "set PORTAL_DATABASE_POOLER to its address" in reason_of(refused.value)
    finally:
        await runtime.close()


@pytest.mark.parametrize("is_set_up", [True, False])
async def test_the_doctor_looks_at_sessions_behind_the_pooler(database: str, tmp_path: Path, is_set_up: bool) -> None:
    query = (
        "SET jit = off; SET random_page_cost = 1.1;"
        " SET lock_timeout = 1500; SET idle_in_transaction_session_timeout = 30000"
    )
    with bouncer(database, connect_query=query if is_set_up else "") as address:
        runtime = Runtime(settings_for(database, tmp_path, database_pooler=address))
        try:
            found = await pooler(runtime.settings, runtime.db)
        finally:
            await runtime.close()
    assert found.status == ("ok" if is_set_up else "warning")
    assert is_set_up or f"connect_query='{query}'" in found.detail


async def test_a_file_has_no_pooler(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(state_dir=tmp_path, database_pooler="postgresql+asyncpg://pooler/portal")
    assert refused.value.values["key"] == "database_pooler"
