"""Addresses of databases: libpq's parameters reach both drivers, everything else is refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from support.databases import settings_for

from app.database.engines import connect_args
from app.errors import SettingsError
from app.jobs.durable import engine_url
from app.runtime import Runtime
from app.settings import load_settings

SERVER = "postgresql+asyncpg://portal:hidden@db/portal"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql+asyncpg://u:hidden@db:5432", "names no database; write postgresql+asyncpg://"),
        ("postgresql+asyncpg://u:hid/den@db/", "names no database"),
        ("postgresql+asyncpg://u:hidden@db/?sslmode=require", "names no database"),
        ("sqlite+aiosqlite://", "names no database; write sqlite+aiosqlite:///folder/portal.db"),
        ("sqlite+aiosqlite:///:memory:", "names no database"),
        ("sqlite+aiosqlite:///portal.db?timeout=3", "has the option timeout, and a SQLite file takes none"),
        (f"{SERVER}?sslmod=require", "has the option sslmod, which the portal does not know; leave it out"),
        (f"{SERVER}?keepalives=1", "has the option keepalives"),
        (f"{SERVER}?sslmode=on", "has an sslmode that is none of disable, allow"),
        (f"{SERVER}?ssl=true", "has an sslmode that is none of disable, allow"),
        (f"{SERVER}?sslmode=require&ssl=require", "has the option sslmode twice"),
        (f"{SERVER}?channel_binding=require", "has the option channel_binding with a value that cannot be had"),
        (f"{SERVER}?connect_timeout=soon", "has a connect_timeout that is no number"),
        (f"{SERVER}?prepared_statement_cache_size=0", "set PORTAL_DATABASE_POOLER"),
        (f"{SERVER}?Hid den=1", "has the option after ?"),
    ],
)
def test_an_address_that_would_fail_later_is_refused_at_once(tmp_path: Path, address: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(state_dir=tmp_path, database_url=address)

    assert words in str(refused.value)
    assert refused.value.values["variable"] == "PORTAL_DATABASE_URL"
    assert not {"hidden", "hid/den", "Hid den"} & set(str(refused.value).split())


async def test_both_drivers_are_asked_for_the_same(tmp_path: Path) -> None:
    """Each by its own means; neither library checks what it is given before it connects."""
    root = tmp_path / "root.crt"
    address = (
        f"{SERVER}?sslmode=verify-full&sslrootcert={root}&application_name=mine&connect_timeout=4"
        "&options=-c%20work_mem%3D8MB&gssencmode=disable&channel_binding=prefer&target_session_attrs=read-write"
    )
    settings = settings_for(address, tmp_path)

    arguments = connect_args(settings, settings.database_address, {})

    place = str(root).replace("/", "%2F")
    assert arguments["dsn"] == (
        f"postgresql:///?sslmode=verify-full&sslrootcert={place}&target_session_attrs=read-write"
    )
    assert arguments["server_settings"] == {
        "application_name": "mine",
        "timezone": "UTC",
        "options": "-c work_mem=8MB",
    }
    assert arguments["timeout"] == 4
    assert dict(engine_url(settings).query) == {
        "sslmode": "verify-full",
        "sslrootcert": str(root),
        "application_name": "mine",
        "connect_timeout": "4",
        "options": "-c work_mem=8MB",
        "target_session_attrs": "read-write",
    }
    # asyncpg itself reads the address: without the certificate it begins nothing.
    with pytest.raises(FileNotFoundError):
        await asyncpg.connect(user="portal", host="127.0.0.1", port=9, database="x", **arguments)


@pytest.mark.postgresql_only("a file takes no options")
async def test_both_drivers_connect_with_them(database: str, tmp_path: Path) -> None:
    joint = "&" if "?" in database else "?"
    settings = settings_for(f"{database}{joint}sslmode=prefer&application_name=mine&connect_timeout=9", tmp_path)
    name = "SELECT current_setting('application_name')"
    runtime = Runtime(settings)
    try:
        async with runtime.db.read() as conn:
            assert await conn.one(text(name), str) == "mine"
    finally:
        await runtime.close()
    with psycopg.connect(engine_url(settings).render_as_string(hide_password=False)) as connection:
        assert connection.execute(name).fetchone() == ("mine",)


def test_who_asks_and_where_may_stand_in_the_parameters(tmp_path: Path) -> None:
    settings = settings_for("postgresql+asyncpg:///?host=/run/pg&user=portal&dbname=licenses&password=hidden", tmp_path)

    url = settings.database

    assert (url.username, url.database, dict(url.query)) == ("portal", "licenses", {"host": "/run/pg"})
    assert "hidden" not in url.render_as_string()


def test_a_password_may_hold_what_divides_addresses(tmp_path: Path) -> None:
    settings: Any = settings_for("postgresql+asyncpg://u:p/w?d#@db/portal?sslmode=disable", tmp_path)

    assert (settings.database.password, settings.database.database) == ("p/w?d#", "portal")
