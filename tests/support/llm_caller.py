"""Processes that call models until they are killed, for a test that kills them.

    python -m support.llm_caller DATABASE_URL FOLDER PROJECT

The libraries of the providers are loaded once. For each line that it reads it forks a process that calls, three calls
at a time, and prints its id.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path

from support.databases import settings_for

from app.context import Actor, Context
from app.errors import PortalError
from app.runtime import Runtime
from app.services.llm.calls import ModelRequest, call_model, owner_of_project

AT_ONCE = 3
LIBRARIES = ("app.providers.asking", "app.providers.chain", "pydantic_ai.models.openai")


async def call_for_ever(url: str, folder: str, project_id: str) -> None:
    """Call after call, as an agent makes them."""
    ctx = Context(Runtime(settings_for(url, Path(folder))), Actor("system", "caller"))
    owner = await owner_of_project(ctx, project_id)

    async def one_after_the_other() -> None:
        while True:
            try:
                await call_model(ctx, ModelRequest("Say hello."), owner, "coder")
            except PortalError as failure:
                # Several processes on one SQLite file may wait for each other for too long.
                sys.stderr.write(f"{failure}\n")

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


def main(*arguments: str) -> None:
    """Fork for each line."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for _ in sys.stdin:
        if pid := os.fork():
            sys.stdout.write(f"{pid}\n")
            sys.stdout.flush()
            continue
        try:
            asyncio.run(call_for_ever(*arguments))
        finally:
            os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:4])
