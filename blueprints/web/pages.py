"""How a handler becomes a page for people: who may see it, what it is embedded in, and errors in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from html import escape
from time import perf_counter
from typing import Any, NamedTuple

import structlog
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from app.access.callers import ANYONE, Caller
from app.errors import PortalError, UnauthenticatedError
from app.runtime import Runtime
from app.telemetry import metrics
from blueprints.web.answer_headers import finish
from blueprints.web.bodies import request_id_of
from blueprints.web.identify import READING, identified
from blueprints.web.problems import problem_of
from blueprints.web.routes import add_route

Handler = Callable[..., Awaitable[HTTPResponse]]

SIGN_IN_PATH = "/admin/login"
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # Never to another site, where an address holds a sign-in link. With no-referrer a browser would send the forms'
    # Origin as null.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

log = structlog.get_logger(__name__)


class Page(NamedTuple):
    """A page's method, route and who may see it."""

    method: str
    path: str
    caller: Caller


class Pages:
    """A blueprint of pages; ``pages`` lists them with their rules."""

    def __init__(self, name: str) -> None:
        self.blueprint = Blueprint(name)
        self.pages: list[Page] = []

    def page(self, method: str, path: str, *, caller: Caller = ANYONE) -> Callable[[Handler], Handler]:
        """Make a handler ``(request, ctx, **path)`` answer here.

        Who is not signed in is led to the sign-in page, if it is a person who reads a page; errors are shown in words
        to people and as problem documents to programs.
        """

        def register(handler: Handler) -> Handler:
            page = Page(method, path, caller)
            self.pages.append(page)
            methods = ["GET", "HEAD"] if method == "GET" else [method]
            route = path.replace("{", "<").replace("}", ":str>")
            add_route(self.blueprint, _endpoint(page, handler), route, methods, handler.__name__)
            return handler

        return register


def _endpoint(page: Page, handler: Handler) -> Callable[..., Coroutine[Any, Any, HTTPResponse]]:
    async def endpoint(request: Request, **path: Any) -> HTTPResponse:
        started = perf_counter()
        runtime: Runtime = request.app.ctx.runtime
        request_id = request_id_of(request)
        try:
            ctx = await identified(request, runtime, page.caller, request_id)
            response = await handler(request, ctx, **path)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the reader is told in words
            response = _failed(request, page, request_id, failure)
        response.headers["x-request-id"] = request_id
        finish(request, response)
        seconds = perf_counter() - started
        metrics.requests.labels(page.method, page.path, response.status).observe(seconds)
        if runtime.settings.access_log:
            log.info(
                "request",
                method=request.method,
                route=page.path,
                status=response.status,
                seconds=round(seconds, 4),
                request_id=request_id,
            )
        return response

    return endpoint


def _failed(request: Request, page: Page, request_id: str, failure: Exception) -> HTTPResponse:
    problem = problem_of(request, request_id, failure)
    if not reads_pages(request):
        return problem
    if isinstance(failure, UnauthenticatedError) and not page.caller.is_anyone and request.method in READING:
        return see_other(SIGN_IN_PATH)
    error = failure if isinstance(failure, PortalError) else PortalError()
    return failure_page(error, problem.status)


def reads_pages(request: Request) -> bool:
    """Whether a person's browser asks, and not a program."""
    return "text/html" in (request.headers.get("accept") or "")


def see_other(path: str) -> HTTPResponse:
    """Lead on to another page."""
    return HTTPResponse(b"", 303, {"location": path, **HEADERS}, "text/html; charset=utf-8")


def html_page(title: str, body: str, *, status: int = 200) -> HTTPResponse:
    """A whole page around a body that is HTML already."""
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · Addon portal</title><link rel="stylesheet" href="/static/admin.css"></head>
<body><header><p>Addon portal</p></header><main><h1>{escape(title)}</h1>
{body}
</main></body></html>
"""
    return HTTPResponse(text.encode(), status, dict(HEADERS), "text/html; charset=utf-8")


def failure_page(error: PortalError, status: int) -> HTTPResponse:
    """An error in words, and a way on."""
    body = (
        f'<p role="alert" class="error">{escape(error.message)}</p>\n<p>{escape(error.remedy)}</p>\n'
        f'<p><a href="{SIGN_IN_PATH}">Sign in</a></p>'
    )
    answer = html_page(error.title, body, status=status)
    if (retry_after := error.values.get("retry_after")) is not None:
        answer.headers["retry-after"] = str(retry_after)
    return answer
