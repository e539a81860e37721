"""Where the time of a path goes: the functions of a worker under load, as py-spy saw them.

    .venv/bin/python -m bench.profiles [NAME ...] [--seconds 6] [--database postgresql] [--lines 15]

One worker, 32 connections. "own" is time in a function itself, "with callees" includes what it calls; both in percent
of the samples of the worker's main thread, waiting included. Needs wrk; as another user than root, py-spy may need
leave to look into a process.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from support.databases import postgres_server

from bench.alone import portal_server
from bench.bars import POSTGRES, SQLITE
from bench.databases import address, seeded
from bench.load import require_wrk, wrk
from bench.markdown import table
from bench.scenarios import PORTAL, SCENARIOS
from bench.servers import Server, forget_settings

PATHS = tuple(name for name, scenario in SCENARIOS.items() if PORTAL in scenario.servers)
SAMPLES_PER_SECOND = 400
# Frames above the loop of every request; below them begins what differs.
WORKER = "worker_serve"
LINE_NUMBER = re.compile(r":\d+\)$")


def main() -> int:
    """Profile the chosen paths one after the other and print a table each."""
    options = argparse.ArgumentParser(prog="bench.profiles", description=str(__doc__).splitlines()[0])
    options.add_argument("names", nargs="*", choices=(*PATHS, []), metavar="NAME", help=", ".join(PATHS))
    options.add_argument("--seconds", type=int, default=6)
    options.add_argument("--lines", type=int, default=15)
    options.add_argument("--database", choices=(POSTGRES, SQLITE), default=POSTGRES)
    chosen = options.parse_args()
    require_wrk()
    forget_settings()
    with (
        tempfile.TemporaryDirectory(prefix="portal-bench-") as room,
        postgres_server(durable=True) as postgres,
        address(chosen.database, postgres, Path(room)) as url,
    ):
        asyncio.run(_profile(url, Path(room), chosen))
    return 0


async def _profile(url: str, folder: Path, chosen: argparse.Namespace) -> None:
    async with seeded(url, folder) as fleet, portal_server(url, folder) as server:
        script = folder / "profile.lua"
        for name in chosen.names or PATHS:
            write = SCENARIOS[name].script
            assert write is not None
            script.write_text(await write(fleet))
            told = await profiled(server, script, folder, seconds=chosen.seconds, lines=chosen.lines)
            print(f"\n{name}{told}", flush=True)


async def profiled(server: Server, script: Path, folder: Path, *, seconds: int, lines: int) -> str:
    """The functions of the server under this load, as a table with a headline."""
    raw = folder / "profile.raw"
    load = asyncio.create_task(asyncio.to_thread(wrk, f"{server.url}/", seconds=seconds + 2, script=script))
    await asyncio.sleep(1)
    command = [str(Path(sys.executable).parent / "py-spy"), "record", "--format", "raw", "--output", str(raw)]
    command += ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(seconds), "--pid", str(server.pid)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    rate = (await load).requests_per_second
    return f", {rate:,.0f} requests/s while it was watched\n\n{_table(raw.read_text().splitlines(), lines)}"


def _table(samples: list[str], lines: int) -> str:
    """Each line of the raw form is a stack, from the outermost frame to the innermost, and how often it was seen."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for sample in samples:
        stack, _, seen = sample.rpartition(" ")
        frames = [LINE_NUMBER.sub(")", frame) for frame in stack.split(";")]
        if any(frame.startswith(WORKER) for frame in frames):
            own[frames[-1]] += int(seen)
            within.update(dict.fromkeys(frames, int(seen)))
    total = sum(own.values())
    most = own.most_common(lines)
    rows = ((_percent(count, total), _percent(within[name], total), f"`{name}`") for name, count in most)
    return table(("own", "with callees", "function"), rows)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %"


if __name__ == "__main__":
    raise SystemExit(main())
