"""The servers that are compared: each one process that answers, its address, its statements and its memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx2
import psutil
from prometheus_client.metrics_core import Sample
from prometheus_client.parser import text_string_to_metric_families
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
# An address of the portal's that is not part of what is measured, and the status of a request that nobody waited for.
METRICS, GONE = "/metrics", "499"


class Counted(NamedTuple):
    """SQL statements that a server has sent so far, and the requests it has answered, where it counts them."""

    statements: float
    answered: float | None


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    name: str
    url: str
    pid: int

    async def counted(self) -> Counted | None:
        """What it has done so far; None for one that sends no statements."""
        if self.name == BARE:
            return None
        if self.name == PORTAL:
            told = await samples(self.url)
            return Counted(statements(told), answered(told))
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=60) as http:
            return Counted(float((await http.get("/bench/statements")).json()), None)

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


async def samples(url: str) -> list[Sample]:
    """The portal's own figures, over all its workers."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        return samples_in((await http.get(METRICS)).text)


def samples_in(told: str) -> list[Sample]:
    """The figures of an answer to ``/metrics``."""
    return [sample for family in text_string_to_metric_families(told) for sample in family.samples]


def statements(told: Iterable[Sample]) -> float:
    """The SQL statements that were sent."""
    return sum(one.value for one in told if one.name == "portal_sql_statements_total")


def answered(told: Iterable[Sample], **labels: str) -> float:
    """The requests that were answered with these labels, but for those that ask for figures or hung up."""
    return sum(
        one.value
        for one in told
        if one.name == "portal_request_seconds_count"
        and one.labels["route"] != METRICS
        and one.labels["status"] != GONE
        and labels.items() <= one.labels.items()
    )


def forget_settings() -> None:
    """This process issues tokens and stores rows with a runtime of its own, which no shell must tell what to do."""
    for variable in [name for name in os.environ if name.startswith("PORTAL_")]:
        del os.environ[variable]


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
def spawned(arguments: Sequence[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
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
