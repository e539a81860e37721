"""An answer of any length, sent in parts as they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import structlog
from sanic import Request

from blueprints.web.answer_headers import finish

log = structlog.get_logger(__name__)


class Download(NamedTuple):
    """An answer of any length, sent in parts as they are made."""

    media_type: str
    file_name: str
    parts: AsyncIterator[bytes]


async def send(request: Request, download: Download, request_id: str) -> int:
    """Send a download; answers its status. A failure on the way cuts the connection, so that nobody takes it for whole.

    The first part is made before anything is sent, so that what fails at once is answered as an error.
    """
    parts = aiter(download.parts)
    first = await anext(parts, b"")
    headers = {"content-disposition": f'attachment; filename="{download.file_name}"', "x-request-id": request_id}
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
