"""Behind nginx, by the block of the documentation: each caller has an address of its own, streams and sockets work."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import orjson
import pytest
from support.live import LiveServer, live_server
from support.programs import free_port, opened_to, program, started
from support.sign_in import GENERATE, reachable
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from app.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "proxies.md"


def blocks() -> tuple[str, str]:
    """The location and the map of the documentation."""
    location, upgrade = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return location, upgrade


@pytest.fixture
async def proxied(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[LiveServer, int]]:
    """The portal and the port of an nginx before it."""
    command = program("nginx")
    changed = settings.model_copy(update={"proxies_count": 1, "one_time_passwords_per_address": 1})
    async with live_server(changed) as live:
        port = free_port()
        location, upgrade = blocks()
        location = location.replace("http://127.0.0.1:8080", live.base_url)
        opened_to("www-data", tmp_path)
        paths = " ".join(
            f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
            f"http {{ access_log off; {paths}\n{upgrade}\n"
            f"server {{ listen 127.0.0.1:{port};\n{location}\n}} }}\n"
        )
        arguments = [command, "-p", str(tmp_path), "-e", f"{tmp_path}/start.log", "-c", str(tmp_path / "nginx.conf")]
        with started(arguments, port, tmp_path / "log", user="www-data"):
            yield live, port


async def test_each_caller_has_an_address_of_its_own(proxied: tuple[LiveServer, int]) -> None:
    live, port = proxied
    slugs = [(await reachable(live)).slug for _ in range(4)]

    async def asked(address: str, slug: str, **headers: str) -> int:
        transport = httpx2.AsyncHTTPTransport(local_address=address)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{port}") as http:
            return (await http.post(GENERATE, json={"tenant_slug": slug}, headers=headers)).status_code

    # Who writes a header of their own is counted for the address that nginx has seen all the same.
    assert await asked("127.0.0.2", slugs[0]) == 200
    assert await asked("127.0.0.2", slugs[1], **{"x-forwarded-for": "192.0.2.1"}) == 429
    assert await asked("127.0.0.3", slugs[2]) == 200
    assert await asked("127.0.0.3", slugs[3]) == 429


async def test_pages_documents_and_sockets_pass(proxied: tuple[LiveServer, int]) -> None:
    _, port = proxied
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        page = await http.get("/admin", headers={"accept": "text/html"})
        statuses = [(await http.get(path)).status_code for path in ("/healthz", "/admin/login", "/docs", "/metrics")]
    async with connect(
        f"ws://127.0.0.1:{port}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None
    ) as socket:
        await socket.send(orjson.dumps({"type": "ping"}).decode())
        answer = orjson.loads(await socket.recv())

    assert (page.status_code, page.headers["location"]) == (303, "/admin/login")
    assert statuses == [200, 200, 200, 404]
    assert answer["type"] == "pong"
