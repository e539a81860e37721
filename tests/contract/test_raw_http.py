"""HTTP as bytes: each shape is one request for everybody who reads it, or it is refused and the connection closed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.databases import SqliteDatabases, settings_for
from support.http_shapes import HIDDEN, REFUSED, SOUND
from support.live import LiveServer, live_server
from support.raw import line_to, spoken, statuses

from app.services.tenants import branding


@pytest.fixture
async def strict(sqlite_databases: SqliteDatabases, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server, once: no database answers here."""
    with sqlite_databases.fresh(tmp_path) as url:
        async with live_server(settings_for(url, tmp_path)) as live:
            yield live


async def test_a_shape_is_two_requests_or_refused_and_the_last_one(strict: LiveServer) -> None:
    got: dict[str, list[int]] = {}
    for name, (request, _) in (SOUND | REFUSED).items():
        got[name] = statuses(await spoken(strict.base_url, request + HIDDEN))

    assert got == {name: expected for name, (_, expected) in SOUND.items()} | {
        name: [status] for name, (_, status) in REFUSED.items()
    }


async def test_it_does_not_matter_in_which_pieces_a_request_arrives(strict: LiveServer) -> None:
    names = ("chunks", "a body, then another request", "waits to be asked", "two at once")
    for name in names:
        request, expected = SOUND[name]
        data = request + HIDDEN
        said = await spoken(strict.base_url, *(data[at : at + 1] for at in range(len(data))))
        assert statuses(said) == expected, name
    for name in ("trailers", "a chunk without its line end", "a blank before the colon", "bare line feeds"):
        request, status = REFUSED[name]
        said = await spoken(strict.base_url, *(request[at : at + 1] for at in range(len(request))), HIDDEN)
        assert statuses(said) == [status], name


async def test_a_refusal_is_a_problem_and_says_nothing_of_what_was_sent(strict: LiveServer) -> None:
    for name, (request, status) in REFUSED.items():
        said = await spoken(strict.base_url, request.replace(b"healthz", b"healthz?token=TOP-SECRET-1234567890"))
        head, _, body = said.partition(b"\r\n\r\n")
        assert b"content-type: application/problem+json" in head, name
        assert b"connection: close" in head, name
        assert re.search(rb'"status":%d' % status, body), name
        assert b"SECRET" not in said, name


async def test_nobody_is_asked_to_go_on_with_what_is_refused(strict: LiveServer) -> None:
    said = await spoken(strict.base_url, REFUSED["a body that is too large"][0])

    assert b"100 Continue" not in said


async def test_no_log_shows_an_address(
    sqlite_databases: SqliteDatabases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether it is malformed, unknown, fails before, while or after it is answered, or is hung up on."""
    secret = "SECRET-rt_0123456789abcdefghijkl"

    async def fail(*_: object) -> None:
        raise RuntimeError(f"fails at /licenses/branding/acme?refresh_token={secret}")

    monkeypatch.setattr(branding, "branding", fail)
    targets = (
        *(f"/authz/refresh?refresh_token={secret}", f"/auth/link/{secret}", f"/nothing/{secret}", f"/%00{secret}"),
        *(f"http://x:99999/{secret}", f"/{secret}\0", f"/a\t{secret}", f"/licenses/branding/acme?t={secret}"),
    )
    with sqlite_databases.fresh(tmp_path) as url:
        noisy = settings_for(url, tmp_path, log_level="debug", access_log=True)
    async with live_server(noisy) as live:
        for method in ("GET", "POST", "G\udcffT"):
            for target in targets:
                line = f"{method} {target} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n"
                await spoken(live.base_url, line.encode(errors="surrogateescape"))
        # With a body that nobody reads, and hung up on.
        unread = f"GET /auth/link/{secret} HTTP/1.1\r\nhost: p\r\ncontent-length: 9\r\n\r\n"
        async with line_to(live.base_url) as (_, writer):
            writer.write(unread.encode())
        await asyncio.sleep(0.1)
    told = capsys.readouterr().err

    assert "request_failed" in told
    assert "fails at" in told
    assert "SECRET" not in told
