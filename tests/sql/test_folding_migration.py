"""The migration that introduces folded keys fills those of every row that is there, whatever it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from support.databases import settings_for

from app.database import schema
from sql.folding import joined_key, key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [
    "Plain Name",
    "ÄPFEL",
    "a\u0308pfel",
    " around ",
    "two  blanks",
    "T\tab",
    "50%_off\\",
    "\ufdfa" * 250,
    "x" * 255,
]
PLACES = {
    "tenants": "INSERT INTO tenants (id, name, slug, created_at, updated_at) VALUES (:id, :name, :slug, :now, :now)",
    "activation_codes": "INSERT INTO activation_codes (tenant_id, code_hash, hint, label, created_at)"
    " VALUES (1, :hash, 'HINT', :name, :now)",
    "devices": "INSERT INTO devices (tenant_id, hw_fingerprint, label, last_seen, created_at)"
    " VALUES (1, :slug, :name, :now, :now)",
    "projects": "INSERT INTO projects (project_id, name, client_name, description, created_at, updated_at, created_by)"
    " VALUES (:slug, 'Own', :name, 'Über', :now, :now, 'tests')",
}


def fill(connection: Connection) -> None:
    """Rows as they were before the keys, some without a label."""
    command.upgrade(schema._config(connection), "0015")
    now = str(NOW.replace(tzinfo=None)) if connection.dialect.name == "sqlite" else NOW
    for number, name in enumerate(NAMES, 1):
        values = {"id": number, "name": name, "slug": f"slug-{number}", "hash": bytes([number]), "now": now}
        for statement in PLACES.values():
            connection.execute(text(statement), values)
    connection.execute(text(PLACES["devices"]), {"slug": "none", "name": None, "now": now})


def migrate(connection: Connection) -> dict[str, list[Any]]:
    """What the keys are after the migration, and that it can be taken back."""
    command.upgrade(schema._config(connection), "0016")
    read = {
        "tenants": "SELECT name, folded_name FROM tenants",
        "activation_codes": "SELECT label, folded_label FROM activation_codes",
        "devices": "SELECT label, folded_label FROM devices",
        "projects": "SELECT client_name, folded_name FROM projects",
    }
    found = {table: list(connection.execute(text(statement)).all()) for table, statement in read.items()}
    found["searched"] = list(connection.execute(text("SELECT project_id, client_name, searched FROM projects")).all())
    command.downgrade(schema._config(connection), "0015")
    command.upgrade(schema._config(connection), "0016")
    return found


async def test_every_row_gets_its_key(empty_database: str, tmp_path: Path) -> None:
    engine = create_async_engine(settings_for(empty_database, tmp_path).database, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(fill)
    async with engine.begin() as connection:
        found = await connection.run_sync(migrate)
    await engine.dispose()

    searched = found.pop("searched")
    assert {table: len(rows) for table, rows in found.items()} == {
        **dict.fromkeys(PLACES, len(NAMES)),
        "devices": len(NAMES) + 1,
    }
    for table, rows in found.items():
        assert {row[0]: row[1] for row in rows} == {row[0]: key(row[0]) for row in rows}, table
    assert {row[2] for row in searched} == {joined_key(row[0], "Own", row[1], "Über") for row in searched}
