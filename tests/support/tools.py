"""Programs that only tests need and that cannot stand in the same environment: installed once, outside the tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

# What installers say where they reach no registry, in which case nothing can be installed.
UNREACHABLE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
)


class NotHereError(Exception):
    """What a test needs is not on this machine and cannot be had; the text says what."""


def installed(name: str, files: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """A folder with copies of these files and what was installed by them, kept for as long as they stay the same.

    Raises NotHereError where no registry is reached; a package that is not the pinned one fails the installation.
    """
    pinned = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "addon-portal-tests"
    folder, marker = cache / f"{name}-{pinned}", cache / f"{name}-{pinned}.whole"
    cache.mkdir(parents=True, exist_ok=True)
    # Tests run in several processes, of which one installs.
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for file in files:
                shutil.copy(file, folder)
            install(folder)
            marker.touch()
    return folder


def command(*words: str, folder: Path) -> None:
    """Run a step of an installation; raises NotHereError where it reaches no registry."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0 and any(word in done.stderr for word in UNREACHABLE):
        raise NotHereError(f"{words[0]} reaches no registry, so what it would install is not here")
    assert done.returncode == 0, done.stderr
