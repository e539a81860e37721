"""Which pages of other origins may call the portal from a browser, and what they are told."""

from __future__ import annotations

import re

from sanic import Request
from sanic.response import HTTPResponse

from app.settings import Settings

Headers = tuple[tuple[bytes, bytes], ...]

METHODS = "GET, POST, PUT, DELETE, OPTIONS, PATCH"
# Spelt out: for browsers "*" does not stand for Authorization, nor for anything when credentials are sent.
REQUEST_HEADERS = "content-type, x-session-token, authorization, idempotency-key, if-match, last-event-id, x-request-id"
EXPOSED = (
    "x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, idempotent-replayed, "
    "content-disposition, etag"
)
PREFLIGHT_SECONDS = 3600
# Of an empty answer as well: without a type the framework would send the word None as one.
TEXT = "text/plain; charset=utf-8"
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")


class CrossOrigin:
    """The origins that may read answers: the trusted ones and, in development, every port of this machine."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = settings.trusted_origins
        self._is_development = settings.environment == "development"

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call; capital letters mean nothing, as in any address."""
        origin = origin.lower()
        return origin in self._trusted or (self._is_development and _LOOPBACK.fullmatch(origin) is not None)

    def headers(self, origin: str) -> Headers:
        """What lets a page of this origin read an answer, or nothing."""
        if not self.allows(origin):
            return ()
        return (
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED.encode()),
        )

    def preflight(self, origin: str) -> HTTPResponse:
        """The answer to a browser that asks before it sends, the same for every address."""
        if not self.allows(origin):
            return HTTPResponse(b"This origin may not call the portal.", 403, {"vary": "origin"}, TEXT)
        granted = {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": REQUEST_HEADERS,
            "access-control-allow-credentials": "true",
            "access-control-max-age": str(PREFLIGHT_SECONDS),
            "vary": "origin",
        }
        return HTTPResponse(b"", 200, granted, TEXT)


def options(request: Request, allowed_methods: str | None) -> HTTPResponse | None:
    """The answer to OPTIONS: a preflight where an origin asks, else the methods of an address, if there is one."""
    if (origin := request.headers.get("origin")) is not None:
        cross_origin: CrossOrigin = request.app.ctx.cross_origin
        return cross_origin.preflight(origin)
    if not allowed_methods:
        return None
    return HTTPResponse(None, 204, {"allow": f"{allowed_methods}, OPTIONS"})
