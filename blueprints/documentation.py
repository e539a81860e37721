"""The API described: the OpenAPI document, a page to read and try it, and the public signing keys."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import orjson
from sanic import Request, Sanic
from sanic.response import HTTPResponse, empty, html, redirect

from app.errors import PortalError
from app.runtime import Runtime
from blueprints.web.answer_headers import finish
from blueprints.web.pages import HOME_PATH, NOBODY, reads_pages
from blueprints.web.routes import add_route
from blueprints.web.templates import render

Page = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]

ASSETS = {
    "admin.css": "text/css",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    "explorer.css": "text/css",
    "explorer.js": "text/javascript",
    "graphiql/graphiql.min.css": "text/css",
    "graphiql/graphiql.min.js": "text/javascript",
    "graphiql/react-dom.production.min.js": "text/javascript",
    "graphiql/react.production.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "swagger-ui/swagger-ui.css": "text/css",
    "swagger-ui/swagger-ui-bundle.js": "text/javascript",
}
# Nothing from elsewhere; Swagger UI sets styles on its elements and draws its icons from data addresses.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'"
)
JWKS_SECONDS = 300


class ErrorCode(NamedTuple):
    """A code with the statuses under which it is answered, and what it means."""

    code: str
    statuses: str
    meaning: str


def add_documentation(app: Sanic[Any, Any], describe: Callable[[], bytes]) -> None:
    """Serve an OpenAPI document at /openapi.json and the page that shows it at /docs.

    It is made when somebody asks for it, off the loop: it takes as long as a hundred answers.
    """
    page = _page()

    async def openapi(request: Request) -> HTTPResponse:
        return HTTPResponse(await asyncio.to_thread(describe), content_type="application/json")

    async def docs(request: Request) -> HTTPResponse:
        return html(page, headers={"content-security-policy": CONTENT_SECURITY_POLICY})

    async def jwks(request: Request) -> HTTPResponse:
        runtime: Runtime = request.app.ctx.runtime
        headers = {"cache-control": f"public, max-age={JWKS_SECONDS}"}
        return HTTPResponse(orjson.dumps(runtime.tokens.jwks), 200, headers, "application/jwk-set+json")

    async def root(request: Request) -> HTTPResponse:
        # People administer; programs look for what they may call.
        return redirect(HOME_PATH if reads_pages(request) else "/docs", headers={"vary": "accept, origin"})

    for path, handler in (("/openapi.json", openapi), ("/docs", docs), ("/.well-known/jwks.json", jwks), ("/", root)):
        add_route(app, _public(handler), path, ["GET", "HEAD"], handler.__name__)
    for name, media_type in ASSETS.items():
        _add_asset(app, name, f"/static/{name}", media_type)
    # Where browsers look when a page names no icon: a front end's, or an answer in JSON.
    _add_asset(app, "icon.svg", "/favicon.ico", ASSETS["icon.svg"])


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """A file and its tag, read once a process."""
    body = (files("blueprints") / "static" / name).read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def _add_asset(app: Sanic[Any, Any], name: str, path: str, media_type: str) -> None:
    body, tag = _asset(name)
    headers = {"etag": tag, "cache-control": "public, max-age=3600"}

    async def asset(request: Request) -> HTTPResponse:
        if request.headers.get("if-none-match") == tag:
            return empty(304, headers)
        return HTTPResponse(body, 200, headers, f"{media_type}; charset=utf-8")

    add_route(app, _public(asset), path, ["GET", "HEAD"], path.strip("/").replace("/", "-"))


def _public(handler: Page) -> Page:
    """The handler, whose answers carry what every answer carries."""

    async def finished(request: Request) -> HTTPResponse:
        return finish(request, await handler(request), is_public=True)

    return finished


@cache
def _page() -> str:
    return render("documentation.html", errors=_errors(PortalError), reader=NOBODY)


def _errors(root: type[PortalError]) -> list[ErrorCode]:
    """Each code of the tree once, by status, with what its classes say; branches are silent where leaves say more."""
    classes: dict[str, list[type[PortalError]]] = {}
    pending = [root]
    while pending:
        current = pending.pop()
        pending += current.__subclasses__()
        classes.setdefault(current.code, []).append(current)
    codes = []
    for code, same in classes.items():
        explained = [error for error in same if error.paragraphs()[1]] or same
        statuses = ", ".join(sorted({str(error.status) for error in same}))
        texts = sorted({" ".join(error.paragraphs()).strip() for error in explained})
        codes.append(ErrorCode(code, statuses, " Or: ".join(texts)))
    return sorted(codes, key=lambda error: (error.statuses, error.code))
