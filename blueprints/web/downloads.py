"""An answer of any length, sent in parts as they are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog
from sanic import Request

from blueprints.web.answer_headers import finish

log = structlog.get_logger(__name__)


class Download(NamedTuple):
    """An answer of any length, sent in parts as they are made; ``size`` is the length in bytes, where it is known."""

    media_type: str
    file_name: str
    parts: AsyncGenerator[bytes, None]
    size: int | None = None


async def send(request: Request, download: Download, request_id: str) -> int:
    """Send a download; answers its status. A failure on the way cuts the connection, so that nobody takes it for whole.

    The first part is made before anything is sent, so that what fails at once is answered as an error.
    """
    async with aclosing(download.parts) as parts:
        return await _send(request, download, parts, request_id)


def disposition(file_name: str) -> str:
    """The header that names what is saved, RFC 6266: in ASCII for old programs, and as it is where that differs."""
    simple = "".join(
        character if character.isascii() and character.isprintable() and character not in '"\\%' else "_"
        for character in file_name
    )
    if simple == file_name:
        return f'attachment; filename="{file_name}"'
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(file_name, safe='')}"


async def _send(request: Request, download: Download, parts: AsyncGenerator[bytes, None], request_id: str) -> int:
    first = await anext(parts, b"")
    headers = {"content-disposition": disposition(download.file_name), "x-request-id": request_id}
    if download.size is not None:
        headers["content-length"] = str(download.size)
    response = await request.respond(content_type=download.media_type, headers=headers)
    finish(request, response)
    if request.method == "HEAD":
        # The framework ends what was begun; a part would be one too many.
        return int(response.status)
    try:
        await response.send(first)
        async for part in parts:
            await response.send(part)
    except Exception:
        # An error can no longer be answered.
        log.exception("download_cut", file=download.file_name, request_id=request_id)
        transport: Any = request.transport
        transport.abort()
    else:
        await response.eof()
    return int(response.status)
