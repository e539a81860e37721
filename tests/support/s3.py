"""An S3 of this machine for tests: moto's server in a process of its own, spoken to over HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx2
from support.smtp import free_port

START_SECONDS = 60


@dataclass(frozen=True)
class S3:
    """A running server; ``environment`` is what the portal needs to reach it."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """As a vendor sets it, with an address that is not the vendor's."""
        return {
            "AWS_ACCESS_KEY_ID": "of-the-tests",
            "AWS_SECRET_ACCESS_KEY": "of-the-tests",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def new_bucket(self) -> str:
        """The name of an empty bucket."""
        name = f"files-{uuid.uuid4().hex}"
        httpx2.put(f"{self.endpoint}/{name}", trust_env=False).raise_for_status()
        return name


@contextmanager
def s3_server() -> Iterator[S3]:
    """A server on a port of its own, gone afterwards."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = S3(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(httpx2.TransportError):
                httpx2.get(server.endpoint, trust_env=False)
                break
            assert process.poll() is None, "the S3 server does not start"
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.05)
        yield server
    finally:
        process.kill()
        process.wait()
