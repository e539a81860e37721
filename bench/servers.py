"""The servers that are compared: each one process that answers, its address, its statements and its memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from support.databases import SECRET

from app.settings import Settings
from bench import ROOT
from bench.scenarios import BARE, DIRECT, ORM, PORTAL

READY_SECONDS = 30.0
SETTLE_SECONDS = 20
# The portal's durable engine never sleeps quite.
IDLE_PERCENT = 25.0
MEGABYTE = 1024 * 1024
TOKEN_SECONDS = 86_400
# Where this is set, every start compiles the tree's sources anew, which takes a third of it.
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
# What runs by itself would run into the figures: a million events of a grown database wait for their seals.
AT_REST = {f"PORTAL_{name.upper()}": "0 0 29 2 *" for name in Settings.model_fields if name.endswith("_cron")}
COUNTED = re.compile(r"^portal_sql_statements_total(?:\{[^}]*\})? ([\d.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    name: str
    url: str
    pid: int

    async def statements(self) -> float | None:
        """SQL statements it has sent so far; None where it does not count them."""
        if self.name == BARE:
            return None
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=60) as http:
            if self.name != PORTAL:
                return float((await http.get("/bench/statements")).json())
            found = COUNTED.findall((await http.get("/metrics")).text)
            return sum(float(count) for count in found) if found else None

    async def settle(self) -> None:
        """Return when it has worked off what wrk has left behind, so that the next server has the machine."""
        process = psutil.Process(self.pid)
        process.cpu_percent()
        for _ in range(SETTLE_SECONDS * 10):
            await asyncio.sleep(0.1)
            if process.cpu_percent() < IDLE_PERCENT:
                return

    @property
    def rss_mb(self) -> float:
        """The resident memory of its worker process."""
        return psutil.Process(self.pid).memory_info().rss / MEGABYTE

    @property
    def pss_mb(self) -> float:
        """The same with pages that several processes share counted in parts; nan where the system does not tell."""
        return getattr(psutil.Process(self.pid).memory_full_info(), "pss", float("nan")) / MEGABYTE


def environment(database_url: str, folder: Path) -> dict[str, str]:
    """The portal's settings for all of them, whose bytecode is kept as that of what is installed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PORTAL_") and key != NO_BYTECODE}
    return {
        **kept,
        "PORTAL_DATABASE_URL": database_url,
        "PORTAL_STATE_DIR": str(folder),
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_LOG_FORMAT": "json",
        "PORTAL_RATE_LIMITS": "off",
        "PORTAL_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def spawned(arguments: Sequence[str], env: dict[str, str], log: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A Python process from the tree's root, ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments], env=env, cwd=ROOT, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def compared(names: Sequence[str], database_url: str, folder: Path) -> AsyncIterator[dict[str, Server]]:
    """The named ones of the servers that are not the portal, ready."""
    started = {BARE: ["bench/bare.py"], DIRECT: ["-m", "bench.direct"], ORM: ["-m", "bench.orm_design.app"]}
    asked = {BARE: "/", DIRECT: "/bench/statements", ORM: "/bench/statements"}
    env = environment(database_url, folder)
    with contextlib.ExitStack() as running:
        ready = {}
        for name in names:
            port = free_port()
            log = folder / f"{name}.log"
            process = running.enter_context(spawned([*started[name], str(port)], env, log))
            ready[name] = Server(name, f"http://127.0.0.1:{port}", process.pid)
            await first_answer(f"{ready[name].url}{asked[name]}", process, log)
        yield ready


async def first_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return as soon as this address answers 200."""
    deadline = time.monotonic() + READY_SECONDS
    async with httpx2.AsyncClient(trust_env=False) as http:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx2.TransportError):
                if (await http.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.01)
    raise RuntimeError(f"{url} does not answer: {log.read_text()[-3000:]}")
