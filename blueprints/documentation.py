"""The API described: the OpenAPI document, a page to read and try it, and the public signing keys."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import orjson
from sanic import Request, Sanic
from sanic.response import HTTPResponse, empty, html, redirect

from app.errors import PortalError
from app.runtime import Runtime
from blueprints.web.answer_headers import finish
from blueprints.web.routes import add_route

Page = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]

ASSETS = {
    "admin.css": "text/css",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    "swagger-ui/swagger-ui.css": "text/css",
    "swagger-ui/swagger-ui-bundle.js": "text/javascript",
}
# Nothing from elsewhere; Swagger UI sets styles on its elements and draws its icons from data addresses.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'"
)
JWKS_SECONDS = 300


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
        return redirect("/docs")

    for path, handler in (("/openapi.json", openapi), ("/docs", docs), ("/.well-known/jwks.json", jwks), ("/", root)):
        add_route(app, _public(handler), path, ["GET", "HEAD"], handler.__name__)
    for name, media_type in ASSETS.items():
        _add_asset(app, name, media_type)


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """A file and its tag, read once a process."""
    body = (files("blueprints") / "static" / name).read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def _add_asset(app: Sanic[Any, Any], name: str, media_type: str) -> None:
    body, tag = _asset(name)
    headers = {"etag": tag, "cache-control": "public, max-age=3600"}

    async def asset(request: Request) -> HTTPResponse:
        if request.headers.get("if-none-match") == tag:
            return empty(304, headers)
        return HTTPResponse(body, 200, headers, f"{media_type}; charset=utf-8")

    add_route(app, _public(asset), f"/static/{name}", ["GET", "HEAD"], f"static-{name.replace('/', '-')}")


def _public(handler: Page) -> Page:
    """The handler, whose answers carry what every answer carries."""

    async def finished(request: Request) -> HTTPResponse:
        return finish(request, await handler(request), is_public=True)

    return finished


@cache
def _page() -> str:
    rows = "".join(
        f'<tr id="error-{code}"><td><code>{code}</code></td><td>{statuses}</td><td>{escape(text)}</td></tr>'
        for code, statuses, text in _errors(PortalError)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Addon portal API</title>
<link rel="stylesheet" href="/static/swagger-ui/swagger-ui.css"><link rel="stylesheet" href="/static/docs.css">
<script src="/static/swagger-ui/swagger-ui-bundle.js" defer></script><script src="/static/docs.js" defer></script>
</head><body><a class="skip" href="#errors">Skip to the errors</a>
<header><h1>Addon portal API</h1><p><a href="/openapi.json">OpenAPI document</a> ·
<a href="/.well-known/jwks.json">signing keys</a> · <a href="#errors">errors</a></p>
<p>A first device on a development server:</p>
<pre><code>portal gen-codes --tenant demo
curl -X POST /authz/activate -H 'Content-Type: application/json' \\
  -d '{{"tenant_slug": "demo", "activation_code": "…", "hw_fingerprint": "my-machine"}}'
curl /licenses/policy -H 'Authorization: Bearer …'</code></pre></header>
<main><div id="swagger-ui"><noscript>This page needs JavaScript; the same is said by
<a href="/openapi.json">the OpenAPI document</a>.</noscript></div>
<h2 id="errors">Errors</h2>
<p>Every error is a problem document (RFC 9457): decide by <code>errorCode</code>, show <code>detail</code>.</p>
<table><thead><tr><th scope="col">errorCode</th><th scope="col">Status</th><th scope="col">Meaning</th></tr></thead>
<tbody>{rows}</tbody></table></main></body></html>"""


def _errors(root: type[PortalError]) -> list[tuple[str, str, str]]:
    """Each code of the tree once, by status, with what its classes say; branches are silent where leaves say more."""
    classes: dict[str, list[type[PortalError]]] = {}
    pending = [root]
    while pending:
        current = pending.pop()
        pending += current.__subclasses__()
        classes.setdefault(current.code, []).append(current)
    found = []
    for code, same in classes.items():
        told = [error for error in same if error.paragraphs()[1]] or same
        statuses = ", ".join(sorted({str(error.status) for error in same}))
        texts = sorted({" ".join(error.paragraphs()).strip() for error in told})
        found.append((code, statuses, " Or: ".join(texts)))
    return sorted(found, key=lambda row: (row[1], row[0]))
