"""The simulator's file: opened once a process, with one transaction at a time among all processes of the host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text

from app.providers.stripe_simulator import tables
from app.settings.state_folder import make_state_dir

FILE = "stripe_simulator.db"
BUSY_SECONDS = 15


class Store:
    """Transactions on the file; what is done here blocks, so it is done in threads."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE
        self._engine: Engine | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its beginning."""
        with (self._engine or self._open()).begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the file."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _open(self) -> Engine:
        make_state_dir(self.path.parent)
        engine = create_engine(f"sqlite:///{self.path.absolute()}", connect_args={"timeout": BUSY_SECONDS})

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            connection.isolation_level = None
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        with engine.begin() as connection:
            if connection.execute(text("PRAGMA user_version")).scalar_one() != tables.VERSION:
                tables.metadata.drop_all(connection)
                tables.metadata.create_all(connection)
                connection.execute(text(f"PRAGMA user_version = {tables.VERSION}"))
        self._engine = engine
        return engine
