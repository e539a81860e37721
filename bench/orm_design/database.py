"""The engine, one session per request, and the number of statements so far."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.runtime import Runtime
from app.settings import load_settings

# The portal's settings, keys and tokens, so that what one of the two has issued works with the other.
runtime = Runtime(load_settings())
statements = 0
# At 32 connections this was the fastest: ten of 20 with an overflow of 10 are opened and closed again and again, which
# costs heartbeats and activations a fifth.
POOL_SIZE = 10
SQLITE_BUSY_SECONDS = 15


def _make_engine() -> AsyncEngine:
    if runtime.db.is_sqlite:
        made = create_async_engine(
            runtime.db.url, pool_size=POOL_SIZE, max_overflow=0, connect_args={"timeout": SQLITE_BUSY_SECONDS}
        )
        event.listen(made.sync_engine, "connect", _prepare_sqlite)
        return made
    return create_async_engine(
        runtime.db.url,
        pool_size=POOL_SIZE,
        max_overflow=0,
        connect_args={"server_settings": {"application_name": "orm-design", "timezone": "UTC", "jit": "off"}},
    )


def _prepare_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _counted(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Count what the dialect executes; a listener of the engine would cost each statement as much as a row."""

    def count(*given: Any) -> Any:
        global statements  # noqa: PLW0603 - one number of one process
        statements += 1
        return execute(*given)

    return count


engine = _make_engine()
for name in ("do_execute", "do_executemany", "do_execute_no_params"):
    setattr(engine.dialect, name, _counted(getattr(engine.dialect, name)))
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def _session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]
