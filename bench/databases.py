"""A database of one's own for a run, with the customers of the bench in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from support.databases import PostgresDatabases, settings_for

from app.database import schema
from app.runtime import Runtime
from bench.bars import SQLITE
from bench.seeding import Fleet, seed
from bench.servers import TOKEN_SECONDS


@contextlib.contextmanager
def address(database: str, postgres: str, folder: Path) -> Iterator[str]:
    """The address of a database of one's own, gone afterwards."""
    if database == SQLITE:
        yield f"sqlite+aiosqlite:///{folder}/portal.db"
        return
    databases = PostgresDatabases(postgres, folder)
    try:
        with databases.empty(folder) as url:
            yield url
    finally:
        databases.close()


@contextlib.asynccontextmanager
async def seeded(url: str, folder: Path) -> AsyncIterator[Fleet]:
    """Migrate the database and fill it; what the fleet holds open is closed with the block."""
    settings = settings_for(url, folder, access_token_seconds=TOKEN_SECONDS)
    await schema.upgrade(settings)
    runtime = Runtime(settings)
    try:
        yield await seed(runtime)
    finally:
        await runtime.close()
