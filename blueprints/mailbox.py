"""The development mailbox in the browser: what would have been mailed, for whoever sits at this machine."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import urlsplit

import orjson
from sanic import Request, Sanic
from sanic.response import HTTPResponse, html

from app.errors import NotFoundError
from app.messages.mail import is_loopback
from app.messages.mailbox import Mailbox, MailboxMessage
from app.runtime import Runtime
from blueprints.web.routes import add_route

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


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
        return html(_page(messages), headers={**headers, "content-security-policy": CONTENT_SECURITY_POLICY})

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


def _page(messages: list[MailboxMessage]) -> str:
    shown = "".join(
        f"<article><h2>{escape(message.subject)}</h2><p>To {escape(message.to)}, {escape(message.at)}</p>"
        f"<pre>{escape(message.text)}</pre></article>"
        for message in messages
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Development mailbox</title><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }}
article {{ border-top: 1px solid #888; padding: 1rem 0 }} h2 {{ font-size: 1.1rem; margin: 0 }}
pre {{ white-space: pre-wrap; font-size: 1rem }}
</style></head><body><main><h1>Development mailbox</h1>
<p>Newest first. Without PORTAL_SMTP_URL, mail stays here in development.</p>
{shown or "<p>Nothing has been sent yet.</p>"}</main></body></html>"""
