"""A Redis server for tests: the one that TEST_REDIS_URL names, or one that is started for the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_SECONDS = 10


class RedisServer:
    """A process that the test may stop and start again, or somebody else's server, which it may not."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self.url = url
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it may be stopped."""
        return self._folder is not None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        port = self.url.rpartition(":")[2]
        command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
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
    """The server; where there is none and none can be started, the test is skipped and says so."""
    if named := os.environ.get("TEST_REDIS_URL"):
        yield RedisServer(named)
        return
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server is installed and TEST_REDIS_URL names none")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = folder / f"redis-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    server = RedisServer(f"redis://127.0.0.1:{port}", folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
