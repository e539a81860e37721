"""What the benches have in common that measure rounds in turn: their options, and a place of their own."""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from support.databases import postgres_server

from bench.bars import POSTGRES, SQLITE
from bench.load import require_wrk
from bench.markdown import table
from bench.servers import forget_settings


def options_of(documentation: str | None, *, database: str = POSTGRES, seconds: int = 4) -> argparse.ArgumentParser:
    """What all of them take: the database, how many rounds of how many seconds, and how the figures are shown."""
    options = argparse.ArgumentParser(description=str(documentation).splitlines()[0])
    options.add_argument("--database", choices=(SQLITE, POSTGRES), default=database)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=seconds)
    options.add_argument("--json", action="store_true")
    return options


@contextlib.contextmanager
def own_room(database: str) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of a PostgreSQL server if that is the database; both are gone afterwards.

    Raises SystemExit where wrk is missing.
    """
    require_wrk()
    forget_settings()
    server = postgres_server(durable=True) if database == POSTGRES else contextlib.nullcontext("")
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder, server as postgres:
        yield Path(folder), postgres


def show(rows: Sequence[dict[str, Any]], *, as_json: bool, without: str = "") -> None:
    """Print the rows as a table, without one of the columns, or all of them as JSON."""
    columns = [column for column in rows[0] if column != without]
    shown = ([row[column] for column in columns] for row in rows)
    print(json.dumps(rows, indent=1) if as_json else table(columns, shown))
