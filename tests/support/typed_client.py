"""The typed client that users generate from the schema, in an environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from support.tools import command, installed

FOLDER = Path(__file__).with_name("codegen")


class Generated(NamedTuple):
    """A folder with the client and a program that uses it, and the Python that runs it."""

    folder: Path
    python: Path
    cache: Path


def generated(folder: Path, sdl: str) -> Generated:
    """Generate the client from the schema's text; raises NotHereError where the generator cannot be had."""
    tools = installed("codegen", [FOLDER / "requirements.txt"], _install)
    for name in ("documents.graphql", "program.py", "pyproject.toml"):
        shutil.copy(FOLDER / name, folder)
    (folder / "schema.graphql").write_text(sdl)
    command(str(tools / "venv/bin/ariadne-codegen"), "client", folder=folder)
    return Generated(folder, tools / "venv/bin/python", tools / "mypy")


def _install(folder: Path) -> None:
    command(sys.executable, "-m", "venv", "venv", folder=folder)
    pip = ("venv/bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--retries=0")
    command(*pip, "-r", "requirements.txt", folder=folder)


def complaints(client: Generated) -> str:
    """What a strict type checker has against the client and the program; nothing in the end."""
    options = ["--python-executable", str(client.python), "--cache-dir", str(client.cache)]
    words = [sys.executable, "-m", "mypy", *options, "--no-error-summary", "portal_client", "program.py"]
    done = subprocess.run(words, cwd=client.folder, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout + done.stderr
