"""The database's schema: running migrations, and checking that the newest one has run."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar

from sqlalchemy import Connection, Identity, inspect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.database.engines import SQLITE_BUSY_SECONDS, connect_args
from app.database.failures import outages
from app.database.fitness import ENGINE_SCHEMA, Fitness
from app.errors import SchemaBehindError
from app.settings import Settings
from app.settings.state_folder import make_state_dir
from sql.dialect import TRIGRAM_INDEXES, migration_lock
from sql.statements import database_server, workers
from sql.tables import metadata
from sql.tables.workers import alembic_version

Result = TypeVar("Result")


def head_revision() -> str:
    """The newest migration of this version of the portal; the name of a migration's file begins with its revision."""
    scripts = (files("sql") / "migrations" / "versions").iterdir()
    return max(script.name.partition("_")[0] for script in scripts if script.name[0].isdigit())


async def upgrade(settings: Settings) -> tuple[str | None, str]:
    """Run the missing migrations, one process at a time; returns the revision before and after."""
    if settings.database.get_backend_name() == "sqlite" and settings.database.database:
        make_state_dir(settings.state_dir)
    return await _on_connection(settings, _upgrade)


async def current_revision(settings: Settings) -> str | None:
    """The database's revision; None for an empty database."""
    return await _on_connection(settings, _revision)


async def check_current(settings: Settings) -> None:
    """Raise SchemaBehindError unless the database is at the newest migration."""
    revision = await current_revision(settings)
    if revision != head_revision():
        raise SchemaBehindError(found=revision, needed=head_revision())


async def differences(settings: Settings) -> list[Any]:
    """The differences between the declared tables and the migrated database."""
    return await _on_connection(settings, _differences)


async def _on_connection(settings: Settings, work: Callable[[Connection], Result]) -> Result:
    """Do it on a connection of its own; raises WorkForbiddenError, or DatabaseUnavailableError and its like."""
    # On SQLite a starting process waits while another one migrates; on PostgreSQL an unreachable host fails in time.
    is_sqlite = settings.database.get_backend_name() == "sqlite"
    address = settings.database_address
    options: dict[str, Any] = {"timeout": SQLITE_BUSY_SECONDS} if is_sqlite else connect_args(settings, address, {})
    if not is_sqlite:
        # A migration may take as long as it takes.
        options["command_timeout"] = None
    engine = create_async_engine(address.url, poolclass=NullPool, connect_args=options)
    try:
        with outages():
            async with engine.begin() as connection:
                if not is_sqlite:
                    found = (await connection.execute(database_server.fitness, {"engine": ENGINE_SCHEMA})).one()
                    Fitness(*found).check(works=settings.works)
                return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _config(connection: Connection) -> Any:
    # Imported where it migrates: a server that only checks starts a third of a second sooner.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("sql") / "migrations"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> tuple[str | None, str]:
    from alembic import command

    migration_lock(connection)
    before = _revision(connection)
    command.upgrade(_config(connection), "head")
    return before, str(_revision(connection))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(alembic_version.name):
        return None
    revision: str | None = connection.execute(workers.current_migration).scalar_one()
    return revision


def _differences(connection: Connection) -> list[Any]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    options = {"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
    changes = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [change for change in changes if not _is_implicit_identity(connection, change) and not _is_optional(change)]


def _is_optional(change: Any) -> bool:
    """Whether the change is an index that is not declared, because not every server can have it."""
    return change[0] == "remove_index" and change[1].name in TRIGRAM_INDEXES


def _is_implicit_identity(connection: Connection, change: Any) -> bool:
    """Whether the change is an identity column, which SQLite has for an INTEGER PRIMARY KEY without reporting it."""
    if connection.dialect.name != "sqlite" or not isinstance(change, list):
        return False
    return all(entry[0] == "modify_default" and isinstance(entry[-1], Identity) for entry in change)
