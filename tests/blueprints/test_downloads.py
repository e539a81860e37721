"""Downloads: their length where it is known, their name in any alphabet, and the broken connection of a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from urllib.parse import unquote

import httpx2
import pytest
from support.databases import settings_for
from support.live import LiveServer, live_server

from app import errors, server
from app.access.callers import ANYONE
from app.context import Context
from blueprints.web.downloads import Download, disposition
from blueprints.web.operations import Api

PARTS = [b"first" * 1000, b"second", b"", b"third" * 100_000]
SIZE = sum(map(len, PARTS))
NAME = 'Söhne "& Co" 株-p1.zip'
ended: list[str] = []
hung_up = asyncio.Event()


async def parts(failing_at: int | None = None) -> AsyncGenerator[bytes, None]:
    """All parts, or those before the one that fails; says when it has ended."""
    try:
        for number, part in enumerate(PARTS):
            if number == failing_at:
                raise errors.FilesUnavailableError
            yield part
    finally:
        ended.append("parts")
        hung_up.set()


def downloads() -> Api:
    api = Api("downloads", "/downloads")

    @api.operation("GET", "/{way}", caller=ANYONE, answers=None, download="application/zip")
    async def fetch(ctx: Context, way: str) -> Download:
        """Fetch something."""
        failing_at = {"failing": 3, "failing-unknown": 3, "refused": 0}.get(way)
        size = {"unknown": None, "failing-unknown": None, "wrong": SIZE + 1}.get(way, SIZE)
        return Download("application/zip", NAME, parts(failing_at), size)

    return api


@pytest.fixture
async def live(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LiveServer]:
    """A server with downloads, with a setting that no other test has."""
    monkeypatch.setattr(server, "APIS", (*server.APIS, downloads()))
    ended.clear()
    hung_up.clear()
    settings = settings_for(database, tmp_path).model_copy(update={"request_max_bytes": 2049})
    async with live_server(settings) as running:
        yield running


async def test_a_known_length_is_said_and_an_unknown_one_is_not(live: LiveServer) -> None:
    known, unknown = [await live.http.get(f"/downloads/{way}") for way in ("known", "unknown")]

    assert known.content == unknown.content == b"".join(PARTS)
    assert known.headers["content-length"] == str(SIZE)
    assert "content-length" not in unknown.headers
    assert unknown.headers["transfer-encoding"] == "chunked"
    assert known.headers["cache-control"] == "no-store"
    assert ended == ["parts", "parts"]


async def test_the_head_of_a_download_has_its_length_and_ends_it(live: LiveServer) -> None:
    answer = await live.http.head("/downloads/known")

    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(SIZE), b"")
    assert ended == ["parts"]
    # The connection serves the next request.
    assert (await live.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("way", ["failing", "failing-unknown", "wrong"])
async def test_what_fails_on_the_way_is_never_taken_for_whole(live: LiveServer, way: str) -> None:
    with pytest.raises(httpx2.TransportError):
        await live.http.get(f"/downloads/{way}")

    assert ended == ["parts"]


async def test_what_fails_at_once_is_answered_as_an_error(live: LiveServer) -> None:
    answer = await live.http.get("/downloads/refused")

    assert (answer.status_code, answer.json()["errorCode"]) == (503, "files_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_caller_that_hangs_up_ends_the_download(live: LiveServer) -> None:
    async with live.http.stream("GET", "/downloads/known"):
        pass

    async with asyncio.timeout(5):
        await hung_up.wait()


@pytest.mark.parametrize(
    "name", ["events.csv", "Acme-p1.zip", NAME, "株式会社-p.zip", "हिन्दी.zip", "50%.zip", "a\\b.zip"]
)
def test_the_header_names_the_file_for_every_program(name: str) -> None:
    header = disposition(name)

    simple, _, encoded = header.removeprefix('attachment; filename="').partition('"')
    assert header.isascii()
    assert header.isprintable()
    assert "\\" not in simple
    assert (unquote(encoded.removeprefix("; filename*=UTF-8''")) or simple) == name


def test_the_header_of_a_name_that_old_programs_cannot_read() -> None:
    assert disposition(NAME) == (
        'attachment; filename="S_hne _& Co_ _-p1.zip"; '
        "filename*=UTF-8''S%C3%B6hne%20%22%26%20Co%22%20%E6%A0%AA-p1.zip"
    )
