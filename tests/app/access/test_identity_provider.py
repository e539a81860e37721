"""Asking an identity provider: who gives up waiting for it takes nothing from the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from support.clocks import MovableClock
from support.databases import settings_for

from app.access.identity_provider import IdentityProvider


async def test_who_hangs_up_while_the_provider_is_read_does_not_silence_it(tmp_path: Path) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not asked.is_set():
            asked.set()
            await reader.read()
            gone.set()
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        body = orjson.dumps({"issuer": issuer, **{name: f"{issuer}/{name}" for name in names}})
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    known = {"oidc_issuer": issuer, "oidc_client_id": "portal"}
    provider = IdentityProvider(settings_for("", tmp_path, **known), MovableClock())
    first = asyncio.create_task(provider.discovery())
    await asked.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await gone.wait()

    assert (await provider.discovery()).issuer == issuer

    await provider.close()
    server.close()
