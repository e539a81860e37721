"""The development mailbox in the browser: what would have been mailed, for whoever sits at this machine."""

from __future__ import annotations

from typing import Any

import orjson
from sanic import Request, Sanic
from sanic.response import HTTPResponse

from app.errors import NotFoundError
from app.messages.mailbox import Mailbox
from app.runtime import Runtime
from blueprints.web.pages import html_page
from blueprints.web.routes import add_route
from blueprints.web.this_machine import is_at_this_machine


def add_mailbox(app: Sanic[Any, Any]) -> None:
    """Serve ``/dev/mailbox`` in development; elsewhere there is no such address."""
    if app.ctx.runtime.settings.environment != "development":
        return

    async def dev_mailbox(request: Request) -> HTTPResponse:
        if not is_at_this_machine(request):
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
