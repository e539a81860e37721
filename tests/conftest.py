"""Every test runs on SQLite and on PostgreSQL, against the real server, with no blocking call allowed."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from support.clocks import MovableClock
from support.databases import PostgresDatabases, SqliteDatabases, postgres_server, settings_for
from support.live import LiveServer, live_server

from app.settings import Settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=["sqlite", "postgresql"], help="only this one instead of both")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    only = metafunc.config.getoption("--database")
    for fixture in {"database", "empty_database"} & set(metafunc.fixturenames):
        metafunc.parametrize(fixture, [only] if only else ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a server of one test does to the process's logging ends with the test: its stream does, too."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """One short-lived folder for the whole run."""
    with tempfile.TemporaryDirectory(prefix="portal-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def sqlite_databases(run_folder: Path) -> SqliteDatabases:
    """Fresh SQLite databases."""
    return SqliteDatabases(run_folder)


@pytest.fixture(scope="session")
def postgres_databases(run_folder: Path) -> Iterator[PostgresDatabases]:
    """Fresh PostgreSQL databases on one server."""
    with postgres_server() as server:
        databases = PostgresDatabases(server, run_folder)
        yield databases
        databases.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh, migrated database; the test runs once on each kind."""
    databases = request.getfixturevalue(f"{'sqlite' if request.param == 'sqlite' else 'postgres'}_databases")
    with databases.fresh(tmp_path) as address:
        yield address


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables, for what changes the schema; once on each kind."""
    databases = request.getfixturevalue(f"{'sqlite' if request.param == 'sqlite' else 'postgres'}_databases")
    with databases.empty(tmp_path) as address:
        yield address


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    """Settings of a server on the fresh database."""
    return settings_for(database, tmp_path)


@pytest.fixture
def clock() -> MovableClock:
    """The server's clock, which a test may move."""
    return MovableClock()


@pytest.fixture
async def sanic_client(settings: Settings, clock: MovableClock) -> AsyncIterator[LiveServer]:
    """The running server; a call that blocks its event loop fails the test."""
    async with live_server(settings, clock) as live:
        with blockbuster_ctx() as blocking:
            # Once per connection, not per request: the driver looks for the files of password and certificates.
            for call in ("os.stat", "os.path.abspath", "io.TextIOWrapper.read"):
                blocking.functions[call].can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
            # Only for a fault of ours: its log entry quotes the source.
            for call in ("os.stat", "os.path.abspath", "io.TextIOWrapper.read", "io.BufferedReader.read"):
                blocking.functions[call].can_block_in("blueprints/problems.py", "problem_of")
            yield live


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of commands that run without any setting but this."""
    for name in [name for name in os.environ if name.startswith("PORTAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORTAL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "state"
