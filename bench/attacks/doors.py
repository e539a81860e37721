"""Doors that few requests open, one after the other: what was tried, and how much of it got through.

    .venv/bin/python -m bench.attacks.doors [--tree PATH] [--only NAME ...] [--database postgresql|sqlite] [--json]

Each attack has a server of its own on loopback, and asks it as anybody may. ``--tree`` starts the servers from another
checkout, with the environment in its ``.venv``: what it answered before. The exit code is 1 if anything got through, or
if an answer was a fault of ours.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from support.databases import PostgresDatabases, postgres_server

from bench import ROOT
from bench.attacks import faults, licenses, lost_answers, pages, sessions, strangers, values, wire
from bench.attacks.target import Finding, Ground
from bench.bars import POSTGRES, SQLITE
from bench.markdown import table
from bench.servers import forget_settings

Attack = Callable[[Ground], Awaitable[list[Finding]]]

ATTACKS: dict[str, Attack] = {
    "strangers": strangers.unknown_tenants,
    "disk": faults.full_disk,
    "states": faults.database_states,
    "clock": faults.clock_ahead,
    "killed": faults.main_process_killed,
    "refreshes": lost_answers.lost_answers,
    "deletion": faults.usage_while_deleted,
    "copies": licenses.copied_devices,
    "numbers": licenses.numbers_in_paths,
    "ids": wire.request_ids,
    "shapes": wire.shapes,
    "logs": wire.secrets_in_logs,
    "sessions": sessions.stolen_sessions,
    "production": pages.trusted_pages,
    "development": pages.trusted_pages_in_development,
    "values": values.hostile_values,
    "redis": values.silent_redis,
    "versions": lost_answers.two_versions,
}


def attack(name: str, tree: Path, databases: PostgresDatabases | None) -> list[Finding]:
    """What this one finds, on a database of its own."""
    print(name, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as room:
        folder = Path(room)
        own = contextlib.nullcontext(f"sqlite+aiosqlite:///{folder}/portal.db")
        with databases.empty(folder) if databases else own as url:
            return asyncio.run(ATTACKS[name](Ground(tree, url, folder)))


@contextlib.contextmanager
def postgres_databases() -> Iterator[PostgresDatabases]:
    """Databases on one PostgreSQL server."""
    with postgres_server() as postgres, tempfile.TemporaryDirectory(prefix="portal-bench-") as room:
        databases = PostgresDatabases(postgres, Path(room))
        try:
            yield databases
        finally:
            databases.close()


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(prog="bench.attacks.doors", description=str(__doc__).partition("\n")[0])
    options.add_argument("--tree", type=Path, default=ROOT, help="the checkout whose server is attacked")
    options.add_argument("--only", nargs="+", choices=tuple(ATTACKS), metavar="NAME", help=", ".join(ATTACKS))
    options.add_argument("--database", choices=(POSTGRES, SQLITE), default=POSTGRES)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    forget_settings()
    own = postgres_databases() if chosen.database == POSTGRES else contextlib.nullcontext()
    with own as databases:
        tree = chosen.tree.resolve()
        found = [one for name in chosen.only or ATTACKS for one in attack(name, tree, databases)]
    if chosen.json:
        print(json.dumps([one._asdict() for one in found], indent=1))
    else:
        print(table(["attack", "tried", "got through", "5xx or no answer", ""], found))
    return int(any(one.through or one.faults for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
