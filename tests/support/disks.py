"""Disks that are full or read-only: a small one in memory, where this machine lets the tests mount it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MOUNT = "mount"


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """The folder as a disk of its own; skips the test, and says why, without the rights to mount one."""
    folder.mkdir(exist_ok=True)
    command = [MOUNT, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as failure:
        pytest.skip(f"no disk can be mounted here: {failure}")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()} (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk up to its last byte; the file that takes the room."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while file.write(os.urandom(4096)):
            pass
    return filler


def make_read_only(folder: Path, *, is_read_only: bool = True) -> None:
    """Mount the disk anew, read-only or not."""
    option = "remount,ro" if is_read_only else "remount,rw"
    subprocess.run([MOUNT, "-o", option, str(folder)], check=True)
