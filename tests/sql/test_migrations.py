"""Migrations build exactly the declared tables, forwards and back, one process at a time."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from support.databases import settings_for
from support.live import live_server

from app.database import schema
from app.errors import SchemaBehindError
from app.settings import Settings
from sql.tables import metadata

MIGRATE = """
import asyncio, sys, pathlib
from support.databases import settings_for
from app.database import schema
print(asyncio.run(schema.upgrade(settings_for(sys.argv[1], pathlib.Path(sys.argv[2])))))
"""


@pytest.fixture
def empty(empty_database: str, tmp_path: Path) -> Settings:
    """Settings of a server on a database without tables."""
    return settings_for(empty_database, tmp_path)


@pytest.fixture
def settings_of_another(request: pytest.FixtureRequest, empty_database: str, tmp_path: Path) -> Any:
    """A second database without tables, of the same kind."""
    kind = "sqlite" if empty_database.startswith("sqlite") else "postgres"
    with request.getfixturevalue(f"{kind}_databases").empty(tmp_path) as address:
        yield settings_for(address, tmp_path)


async def within(settings: Settings, work: Any) -> Any:
    """Run synchronous work on a connection of its own and commit."""
    engine = create_async_engine(settings.database, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def described(connection: Connection) -> dict[str, Any]:
    """Everything a database knows about its schema, names and all, without the bookkeeping of migrations."""
    inspector = inspect(connection)
    tables: dict[str, Any] = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        tables[table] = {
            # In whatever order: one that a later migration adds stands last.
            "columns": sorted(
                (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
                for column in inspector.get_columns(table)
            ),
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": sorted(map(str, inspector.get_unique_constraints(table))),
            "checks": sorted(
                (str(check["name"]), re.sub(r"\s+", " ", check["sqltext"]))
                for check in inspector.get_check_constraints(table)
            ),
            "indexes": sorted(
                (str(index["name"]), index["column_names"], bool(index["unique"]))
                for index in inspector.get_indexes(table)
            ),
        }
    if connection.dialect.name == "sqlite":
        behaviour = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' OR sql LIKE '%WHERE%' ORDER BY name")
        )
    else:
        behaviour = connection.execute(
            text(
                "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
                " UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                # What an extension brings is the server's.
                " AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')"
                " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
                " AND tablename <> 'alembic_version'"
                " UNION ALL SELECT relname, reloptions::text FROM pg_class WHERE reloptions IS NOT NULL"
                " AND relnamespace = 'public'::regnamespace ORDER BY 1, 2"
            )
        )
    tables["behaviour"] = [(name, " ".join(str(body).split())) for name, body in behaviour]
    return tables


def downgraded(connection: Connection) -> None:
    command.downgrade(schema._config(connection), "base")


async def test_the_migrated_database_has_the_declared_tables(settings: Settings) -> None:
    assert await schema.differences(settings) == []


async def test_the_comparison_sees_a_difference(empty: Settings) -> None:
    await schema.upgrade(empty)
    await within(empty, lambda connection: connection.execute(text("DROP INDEX ix_devices_activation_code_id")))

    assert len(await schema.differences(empty)) == 1


async def test_migrating_and_declaring_come_to_the_same_schema(empty: Settings, settings_of_another: Settings) -> None:
    await schema.upgrade(empty)
    await within(settings_of_another, metadata.create_all)

    migrated, declared = [await within(each, described) for each in (empty, settings_of_another)]

    assert migrated == declared
    assert {"usage_events_rollup"} <= {name for name, _ in migrated["behaviour"]}
    assert sum(len(table["checks"]) for name, table in migrated.items() if name != "behaviour") >= 10


def test_every_constraint_has_a_name() -> None:
    names = [constraint.name for table in metadata.tables.values() for constraint in table.constraints]

    assert all(names)


async def test_up_down_and_up_again(empty: Settings) -> None:
    up = await schema.upgrade(empty)
    first = await within(empty, described)
    await within(empty, downgraded)
    nothing = await within(empty, described)
    again = await schema.upgrade(empty)

    assert (up, again) == ((None, schema.head_revision()), (None, schema.head_revision()))
    assert nothing == {"behaviour": []}
    assert await within(empty, described) == first
    assert await schema.differences(empty) == []


async def test_migrating_what_is_current_changes_nothing(settings: Settings) -> None:
    before = await within(settings, described)

    came_from, now_at = await schema.upgrade(settings)

    assert came_from == now_at == schema.head_revision()
    assert await within(settings, described) == before


@pytest.mark.processes
def test_processes_that_migrate_at_once_take_turns(empty: Settings, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    address = empty.database.render_as_string(hide_password=False)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, address, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]

    said = sorted((process.communicate()[0].strip(), process.returncode) for process in started)

    head = schema.head_revision()
    assert said == [(str((head, head)), 0), (str((head, head)), 0), (str((None, head)), 0)]
    assert asyncio.run(schema.differences(empty)) == []


async def test_a_migration_that_fails_leaves_nothing(empty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate = schema._upgrade

    def fail_at_the_end(connection: Connection) -> tuple[str | None, str]:
        migrate(connection)
        raise RuntimeError("before its commit")

    monkeypatch.setattr(schema, "_upgrade", fail_at_the_end)
    with pytest.raises(RuntimeError, match="before its commit"):
        await schema.upgrade(empty)
    monkeypatch.undo()

    assert await within(empty, described) == {"behaviour": []}


async def test_a_server_refuses_a_database_that_is_behind(empty: Settings) -> None:
    with pytest.raises(SchemaBehindError) as refused:
        async with live_server(empty):
            pass

    assert str(refused.value) == (
        f"The database is at migration none, this version needs {schema.head_revision()}. Run: portal migrate"
    )


async def test_a_server_refuses_a_database_of_another_version(empty: Settings) -> None:
    await schema.upgrade(empty)
    await within(empty, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))

    with pytest.raises(SchemaBehindError, match="9999"):
        await schema.check_current(empty)
