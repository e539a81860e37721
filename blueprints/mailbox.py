"""The development mailbox in the browser: what would have been mailed, for whoever sits at this machine."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import orjson
from sanic import Request, Sanic
from sanic.response import HTTPResponse

from app.errors import NotFoundError
from app.messages.mail import is_loopback
from app.messages.mailbox import Mailbox
from app.runtime import Runtime
from blueprints.web.pages import html_page
from blueprints.web.routes import add_route


def add_mailbox(app: Sanic[Any, Any]) -> None:
    """Serve ``/dev/mailbox`` in development; elsewhere there is no such address."""
    if app.ctx.runtime.settings.environment != "development":
        return

    async def dev_mailbox(request: Request) -> HTTPResponse:
        if not _is_at_this_machine(request):
            raise NotFoundError
        runtime: Runtime = request.app.ctx.runtime
        messages = await Mailbox(runtime.settings.state_dir).messages()
        headers = {"cache-control": "no-store", "vary": "accept"}
        if "application/json" in (request.headers.get("accept") or ""):
            return HTTPResponse(orjson.dumps({"messages": messages}), 200, headers, "application/json")
        page = html_page("mailbox.html", {"messages": messages})
        page.headers.update(headers)
        return page

    add_route(app, dev_mailbox, "/dev/mailbox", ["GET", "HEAD"], "dev_mailbox")


def _is_at_this_machine(request: Request) -> bool:
    """Whether the request comes from this machine and asks for it.

    A page of somebody else's, in a browser at this machine, may have its own name resolve to this machine: the Host
    header tells. A proxy at this machine says for whom it asks; where none is expected, whoever says so is one.
    """
    if not request.remote_addr and any(name in request.headers for name in ("x-forwarded-for", "forwarded")):
        return False
    try:
        host = urlsplit(f"//{request.headers.get('host') or ''}").hostname or ""
    except ValueError:
        return False
    addresses = [request.ip, *([request.remote_addr] if request.remote_addr else [])]
    return all(map(is_loopback, (host, *addresses)))
