"""What other devices notice while one address holds silent and slow connections, large bodies and JSON of brackets.

    .venv/bin/python -m bench.attacks [--database sqlite|postgresql] [--rounds 5] [--seconds 10] [--workers 2]
                                      [--attacks silent slow bodies values] [--json]

One server. In each round twenty devices ask for their policy two hundred times a second, by the clock, first by
themselves and then beside the attacks, which come from a process and an address of their own. Quote the ratios. Needs
wrk. The exit code is 1 if the median of the ratios of p99 is above 3, if a worker takes 250 MB, or if a device was not
answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from support.processes import ServerProcess, served

from bench import ROOT
from bench.attacks.attackers import ATTACKS
from bench.command_line import options_of, own_room, show
from bench.databases import address, seeded
from bench.load import Measured, wrk
from bench.neighbours import PACED, POLICY
from bench.seeding import Fleet
from bench.servers import MEGABYTE, TOKEN_SECONDS

DEVICES, PER_SECOND = 20, 200
MAX_RATIO, MAX_MEGABYTES = 3.0, 250.0
# Seconds that the attacks have to begin before devices are measured, and by which they go on.
BEFORE, AFTER = 4, 2
# Seconds between an attack and the next round.
REST = 3


class Round(NamedTuple):
    """Policies by themselves and beside the attacks, the most memory of a worker then, and how the attacks ended."""

    alone: Measured
    beside: Measured
    megabytes: float
    ended: Counter[str]


class Memory:
    """The most that any worker has taken, looked at twice a second."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self.most = 0.0

    async def watch(self) -> None:
        """Look until this is cancelled."""
        while True:
            for process in self._processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.most = max(self.most, process.memory_info().rss / MEGABYTE)
            await asyncio.sleep(0.5)


def paced(fleet: Fleet) -> str:
    """What wrk runs for the devices."""
    tokens = ",".join(f'"{device.access_token}"' for device in fleet.asking[:DEVICES])
    return PACED % {"tokens": tokens, "every_ms": 1000 / PER_SECOND}


async def measured(server: ServerProcess, script: Path, seconds: int) -> Measured:
    """The devices' policies."""
    url = server.base_url + POLICY
    return await asyncio.to_thread(wrk, url, connections=DEVICES, seconds=seconds, script=script)


async def one_round(server: ServerProcess, script: Path, seconds: int, attacks: Sequence[str]) -> Round:
    """The devices alone, and beside the attacks."""
    alone = await measured(server, script, seconds)
    memory = Memory(server.worker_pids())
    watching = asyncio.create_task(memory.watch())
    command = ["-m", "bench.attacks.attackers", server.base_url, str(BEFORE + seconds + AFTER), *attacks]
    attackers = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    await asyncio.sleep(BEFORE)
    beside = await measured(server, script, seconds)
    told, _ = await attackers.communicate()
    await asyncio.sleep(REST)
    watching.cancel()
    return Round(alone, beside, memory.most, Counter(json.loads(told)))


async def measure(url: str, folder: Path, chosen: argparse.Namespace) -> list[Round]:
    """All rounds, of which the first is unmeasured."""
    rounds = []
    given = {"PORTAL_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS)}
    async with seeded(url, folder) as fleet, served(url, folder, workers=chosen.workers, **given) as server:
        script = folder / "policy.lua"
        script.write_text(paced(fleet))
        await measured(server, script, 2)
        for number in range(chosen.rounds):
            found = await one_round(server, script, chosen.seconds, chosen.attacks)
            rounds.append(found)
            told = f"p99 {found.alone.p99_ms} ms alone, {found.beside.p99_ms} ms beside; {found.megabytes:.0f} MB"
            print(f"{number + 1}/{chosen.rounds}: {told}; {dict(found.ended)}", file=sys.stderr)
        if server.events("request_failed"):
            raise RuntimeError("the server failed; see its log")
    return rounds


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians of both sides and of the rounds' own ratios, the most memory, and how the attacks ended."""
    row: dict[str, Any] = {}
    for name in ("p50_ms", "p99_ms"):
        alone = [getattr(found.alone, name) for found in rounds]
        beside = [getattr(found.beside, name) for found in rounds]
        row[f"{name} alone"] = round(statistics.median(alone), 2)
        row[f"{name} beside"] = round(statistics.median(beside), 2)
        row[f"{name} ratio"] = round(statistics.median(b / a for a, b in zip(alone, beside, strict=True)), 2)
    row["requests beside"] = sum(found.beside.requests for found in rounds)
    row["errors"] = sum(found.alone.errors + found.beside.errors for found in rounds)
    row["MB of a worker"] = round(max(found.megabytes for found in rounds))
    row["attacks"] = dict(sum((found.ended for found in rounds), Counter[str]()))
    return row


def main() -> int:
    """Answer the exit code."""
    options = options_of(__doc__, seconds=10)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--attacks", nargs="+", choices=tuple(ATTACKS), default=list(ATTACKS))
    chosen = options.parse_args()
    with own_room(chosen.database) as (folder, postgres), address(chosen.database, postgres, folder) as url:
        row = summary(asyncio.run(measure(url, folder, chosen)))
    show([row], as_json=chosen.json)
    is_met = row["p99_ms ratio"] <= MAX_RATIO and row["MB of a worker"] < MAX_MEGABYTES and not row["errors"]
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
