"""Programs that stand beside the portal in a real installation, as Debian packages them: a pooler, a web server."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_SECONDS = 10
# Where Debian has what is no command of a user.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def program(name: str) -> str:
    """Where a program is; the test is skipped where it is not installed."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed here: apt-get install {name}")
    return found


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(command: list[str], port: int, log: Path, *, user: str | None = None) -> Iterator[None]:
    """Run it until the block ends; it listens on its port when the block begins. ``user`` runs it where root tests."""
    account = {"user": user} if user and os.getuid() == 0 else {}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, **account)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        else:
            raise AssertionError(f"{command[0]} does not start: {log.read_text()}")
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def opened_to(user: str, folder: Path) -> None:
    """Let a user of the machine work in a folder of root's, and reach it."""
    if os.getuid() == 0:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
