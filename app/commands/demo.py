"""The demo: the whole journey of a device against a running server, or against a temporary one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import httpx2
import orjson
from cyclopts import Parameter
from pydantic import SecretStr
from rich.text import Text

from app.commands.journey import Journey
from app.commands.output import CommandFailedError, answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.commands.steps import Step
from app.context import Context
from app.settings import Settings, load_settings
from sql.statements import licensing

PROBE_SECONDS = 2.0
ASK_SECONDS = 15.0
START_SECONDS = 60.0
STOP_SECONDS = 30.0


async def demo(
    *,
    url: Annotated[str | None, Parameter(help="A running server on the database of these settings.")] = None,
    as_json: AsJson = False,
) -> int:
    """Play a device's whole journey, from the plan to the device that is one too many, and a project's to its download.

    Without --url it looks at the settings' public_url (in development only), and if nothing of ours answers there,
    it starts a server for the occasion, with a state folder of its own.
    """
    async with contextlib.AsyncExitStack() as stack:
        ctx, http = await _prepare(stack, url)
        address = str(http.base_url).rstrip("/")
        if not as_json:
            answer(False, {}, Text(f"The journey of a device and of a project at {address}", style="bold"))
        steps: list[Step] = []
        async for step in Journey(ctx, http).steps():
            steps.append(step)
            if not as_json:
                answer(False, {}, _line(len(steps), step))
            if step.wrong:
                break
    is_right = not steps[-1].wrong
    if as_json:
        records = [{**asdict(step), "ok": not step.wrong} for step in steps]
        answer(True, {"ok": is_right, "url": address, "steps": records})
    if not is_right:
        last = steps[-1]
        message = f"The step {last.name} answered {last.answered}; expected was {last.wrong}."
        raise CommandFailedError("demo_failed", message)
    if not as_json:
        answer(False, {}, Text(f"All {len(steps)} steps went as they should.", style="green"))
    return 0


async def _prepare(stack: contextlib.AsyncExitStack, url: str | None) -> tuple[Context, httpx2.AsyncClient]:
    """An operator's context and an HTTP client, both for the same installation."""
    settings = load_settings()
    candidate = url or (settings.public_url if settings.environment == "development" else None)
    if candidate:
        http = await stack.enter_async_context(_client(candidate))
        if await _answers(http):
            ctx = await stack.enter_async_context(operating(settings))
            if await _is_same_installation(ctx, http):
                return ctx, http
            if url:
                message = f"The server at {url} works on another database than these settings name."
                raise CommandFailedError("other_installation", message)
        elif url:
            raise CommandFailedError("no_server", f"No portal answers at {url}.")
    own_settings, address = await stack.enter_async_context(_temporary_server())
    http = await stack.enter_async_context(_client(address))
    return await stack.enter_async_context(operating(own_settings)), http


def _client(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, timeout=ASK_SECONDS, trust_env=False)


async def _answers(http: httpx2.AsyncClient) -> bool:
    try:
        return (await http.get("/healthz", timeout=PROBE_SECONDS)).status_code == 200
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False


async def _is_same_installation(ctx: Context, http: httpx2.AsyncClient) -> bool:
    """Whether one of the server's signing keys is in the database of these settings."""
    try:
        published = (await http.get("/.well-known/jwks.json")).json()["keys"]
    except (httpx2.HTTPError, ValueError, LookupError, TypeError):
        return False
    async with ctx.read() as conn:
        rows = await conn.rows(licensing.verifying_keys, now=ctx.now())
    return not {key["kid"] for key in published}.isdisjoint(row.kid for row in rows)


@contextlib.asynccontextmanager
async def _temporary_server() -> AsyncIterator[tuple[Settings, str]]:
    """The real server, started as a user would, on a free port and with a temporary state folder."""
    with tempfile.TemporaryDirectory(prefix="portal-demo-", ignore_cleanup_errors=True) as folder:
        environment = {key: value for key, value in os.environ.items() if not key.upper().startswith("PORTAL_")}
        environment["PORTAL_STATE_DIR"] = folder
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-P",
                "-m",
                "app",
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--workers",
                "1",
                "--json",
            ),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            announcement = await _announcement(process)
            yield _temporary_settings(Path(folder)), announcement["url"]
        finally:
            await _end(process)


async def _announcement(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The JSON object that the server prints once it is ready; raises CommandFailedError if it does not start."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            if process.stdout and (line := await process.stdout.readline()):
                announcement: dict[str, Any] = orjson.loads(line)
                return announcement
    process.kill()
    _, error_output = await process.communicate()
    reason = error_output.decode(errors="replace").strip().rpartition("\n")[2] or "it gave no reason"
    raise CommandFailedError("no_server", f"The temporary server did not start: {reason}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()


def _temporary_settings(folder: Path) -> Settings:
    """The settings of the temporary server; explicit values override those of the caller's environment."""
    return load_settings(
        environment="development", state_dir=folder, database_url=SecretStr(""), secret_key=SecretStr("")
    )


def _line(number: int, step: Step) -> Text:
    mark = ("failed", "bold red") if step.wrong else ("ok", "green")
    line = Text.assemble((f"{number:>2}  {step.name:<14}", "bold"), step.asked, "  ", mark)
    return line.append(f"\n    {'':<14}{step.answered}", style="dim")
