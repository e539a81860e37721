"""The real server in processes of its own, started as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import orjson
from support.databases import SECRET, is_setting, settings_for

from app.context import Actor, Context
from app.runtime import Runtime

FULL_PROOF = os.environ.get("PORTAL_PROOF") == "full"
READY_SECONDS = 60.0


@dataclass
class ServerProcess:
    """A running ``portal serve``: its address, its log, and a runtime of ours on the same database."""

    base_url: str
    http: httpx2.AsyncClient
    process: subprocess.Popen[bytes]
    log: Path
    runtime: Runtime
    # What it was started with, for commands that are to work on the same database.
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def ctx(self) -> Context:
        """An operator's context on the server's database."""
        return Context(self.runtime, Actor("operator", "tests"))

    def events(self, name: str) -> list[dict[str, object]]:
        """What the server has logged under this name so far."""
        told = (orjson.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [event for event in told if event.get("event") == name]

    def worker_pids(self) -> list[int]:
        """The worker processes that are alive."""
        pids = [int(str(event["pid"])) for event in self.events("worker_started")]
        return [pid for pid in pids if is_alive(pid)]


@contextlib.asynccontextmanager
async def served(
    database_url: str, folder: Path, *, workers: int = 2, **environment: str
) -> AsyncIterator[ServerProcess]:
    """Run ``portal serve`` until the block ends; it is ready when this returns, and stops within its grace."""
    port = _free_port()
    log = folder / f"serve-{port}.log"
    env = {
        **{key: value for key, value in os.environ.items() if not is_setting(key) or key == "PORTAL_PROOF"},
        "PORTAL_DATABASE_URL": database_url,
        "PORTAL_STATE_DIR": str(folder),
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_LOG_FORMAT": "json",
        "PORTAL_RATE_LIMITS": "off",
        **environment,
    }
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", str(workers)]
    same = {key.removeprefix("PORTAL_").lower(): value for key, value in environment.items()}
    runtime = Runtime(settings_for(database_url, folder, **same))
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
    base_url = f"http://127.0.0.1:{port}"
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=0)
    try:
        async with httpx2.AsyncClient(base_url=base_url, trust_env=False, timeout=60, limits=limits) as http:
            server = ServerProcess(base_url, http, process, log, runtime, env)
            await _ready(server, workers)
            yield server
    finally:
        await runtime.close()
        _stop(process)


async def _ready(server: ServerProcess, workers: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.log.read_text()[-3000:]
        with contextlib.suppress(httpx2.TransportError):
            if (await server.http.get("/readyz")).status_code == 200 and len(server.worker_pids()) == workers:
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not ready: {server.log.read_text()[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
