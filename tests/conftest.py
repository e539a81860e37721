"""Every test runs on SQLite and on PostgreSQL, against the real server, with no blocking call allowed."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

import httpcore2
import pytest
import time_machine
from support.blocking import nothing_blocks
from support.clocks import MovableClock
from support.databases import PostgresDatabases, SqliteDatabases, is_setting, postgres_server, settings_for
from support.engines import statements_compiled_once
from support.fake_llm import FakeModels, fake_models
from support.live import LiveServer, live_server
from support.model_calls import Calling, process_that_calls
from support.neighbours import has_neighbours, place_among_neighbours, undisturbed_horizon

from app.settings import Settings

# By these a test has a database of the run.
STORED = {"database", "empty_database", "postgres_databases"}
# Markers of tests in which another program tells the time.
OTHER_CLOCKS = ("processes", "browser", "engine_clock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=["sqlite", "postgresql"], help="only this one instead of both")
    parser.addoption("--only-stored", action="store_true", help="leave out what uses no database of the run")
    parser.addoption(
        "--at", type=datetime.fromisoformat, help="as if it were this moment: on SQLite, and in this process only"
    )


def pytest_configure(config: pytest.Config) -> None:
    if moment := config.getoption("--at"):
        config.option.database = "sqlite"
        time_machine.travel(moment, tick=True).start()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    only = metafunc.config.getoption("--database")
    kinds = [only] if only else ["sqlite", "postgresql"]
    if metafunc.definition.get_closest_marker("postgresql_only"):
        kinds = ["postgresql"]
    if metafunc.definition.get_closest_marker("sqlite_only"):
        kinds = ["sqlite"]
    for fixture in {"database", "empty_database"} & set(metafunc.fixturenames):
        metafunc.parametrize(fixture, kinds, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out: list[pytest.Item] = []
    if config.getoption("--only-stored"):
        left_out += [item for item in items if not STORED & set(getattr(item, "fixturenames", ()))]
    if config.getoption("--database") == "sqlite":
        # What SQLite does not have is no test of it that was skipped.
        left_out += [item for item in items if item.get_closest_marker("postgresql_only")]
    if config.getoption("--database") == "postgresql":
        left_out += [item for item in items if item.get_closest_marker("sqlite_only")]
    if config.getoption("--at"):
        left_out += [item for item in items if any(item.get_closest_marker(name) for name in OTHER_CLOCKS)]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    if hasattr(config, "workerinput"):
        # What takes longest begins first, or in the end one process of tests works and the others have nothing left.
        items.sort(key=lambda item: item.get_closest_marker("processes") is None)


def pytest_collection_finish() -> None:
    """As in a worker of the server, the collector looks at what tests leave behind and not at what they are made of.

    Each of them makes and leaves a whole server, so it looks less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def horizon() -> Iterator[None]:
    """What may be read of the trail of events depends on every transaction of the server."""
    with undisturbed_horizon() if has_neighbours() else contextlib.nullcontext():
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """What one test's server has compiled, the next one's finds."""
    with statements_compiled_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """The machine's certificates, which every HTTP client of a test would read anew: a tenth of the whole run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(autouse=True)
def among_neighbours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Beside the neighbours, or without them where a test is marked so."""
    alone = request.node.get_closest_marker("alone") is not None
    folder = tmp_path_factory.getbasetemp().parent
    with place_among_neighbours(folder, alone=alone) if has_neighbours() else contextlib.nullcontext():
        yield


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a test does to the process's logging ends with the test: a server's stream does, too.

    A library that configures its own logging may silence all loggers that there are, and a later test would miss them.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger in root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


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
        with nothing_blocks() as blocking:
            # Only for a fault of ours: its log entry quotes the source.
            for call in ("os.stat", "os.path.abspath", "io.TextIOWrapper.read", "io.BufferedReader.read"):
                blocking.functions[call].can_block_in("blueprints/web/problems.py", "problem_of")
            yield live


@pytest.fixture(scope="session")
def fake_llm() -> Iterator[FakeModels]:
    """A provider of models for the whole run; each test asks for models of its own."""
    with fake_models() as fake:
        yield fake


@pytest.fixture
async def calling(database: str, tmp_path: Path, fake_llm: FakeModels) -> AsyncIterator[Calling]:
    """A process that calls models of the fake provider; a call that blocks its event loop fails the test."""
    async with process_that_calls(database, tmp_path, fake_llm) as made:
        yield made


@pytest.fixture
async def unreachable(database: str, tmp_path: Path, fake_llm: FakeModels) -> AsyncIterator[Calling]:
    """The same, where nobody listens at the providers' addresses."""
    nowhere = {f"{name}_BASE_URL": "http://127.0.0.1:9/v1" for name in ("OPENAI", "ANTHROPIC", "GOOGLE")}
    async with process_that_calls(database, tmp_path, fake_llm, **nowhere) as made:
        yield made


@pytest.fixture
async def waiting_long(database: str, tmp_path: Path, fake_llm: FakeModels) -> AsyncIterator[Calling]:
    """The same, that waits for providers longer than a busy machine takes with hundreds of calls at once."""
    async with process_that_calls(database, tmp_path, fake_llm, provider_timeout_seconds=60.0) as made:
        yield made


@pytest.fixture
async def short_of_patience(database: str, tmp_path: Path, fake_llm: FakeModels) -> AsyncIterator[Calling]:
    """The same, that does not wait for budgets."""
    async with process_that_calls(database, tmp_path, fake_llm, budget_wait_seconds=0) as made:
        yield made


@pytest.fixture
async def leader(database: str, tmp_path: Path, fake_llm: FakeModels, clock: MovableClock) -> AsyncIterator[Calling]:
    """Another process on the same database, whose clock a test may move."""
    async with process_that_calls(database, tmp_path, fake_llm, clock) as made:
        yield made


@pytest.fixture
async def keyless(database: str, tmp_path: Path, fake_llm: FakeModels) -> AsyncIterator[Calling]:
    """The same without a key."""
    nothing = dict.fromkeys(fake_llm.settings, "")
    async with process_that_calls(database, tmp_path, fake_llm, **nothing) as made:
        yield made


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of commands that run without any setting but this."""
    for name in [name for name in os.environ if is_setting(name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORTAL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "state"
