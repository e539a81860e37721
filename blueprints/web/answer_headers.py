"""What every answer carries beside its own: what browsers and caches must not do with it, and who else may read it."""

from __future__ import annotations

from typing import Any

from sanic import Request, Sanic
from sanic.response import HTTPResponse

from app.limits.rate_limits import Allowance
from app.settings import Settings
from blueprints.web.answers import Answer
from blueprints.web.cors import CrossOrigin, Headers

ONE_YEAR = 31_536_000
PAGE_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
PAGE: Headers = (
    (b"content-security-policy", PAGE_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_LEFT_NAMES = (b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")
_LEFT = b"".join(b"\r\n%b: %%d" % name for name in _LEFT_NAMES)


class AnswerHeaders:
    """The headers of one installation, encoded once.

    Tokens, codes and personal data must not stay in any cache, so only what anybody may get is without ``no-store``.
    """

    def __init__(self, settings: Settings) -> None:
        everywhere: Headers = ((b"x-content-type-options", b"nosniff"), (b"vary", b"origin"))
        if settings.environment != "development" and settings.public_url.lower().startswith("https://"):
            everywhere += ((b"strict-transport-security", b"max-age=%d" % ONE_YEAR),)
        self.public = everywhere
        self.private: Headers = (*everywhere, (b"cache-control", b"no-store"))
        self.public_lines = lines(self.public)
        self.private_lines = lines(self.private)


def install_answer_headers(app: Sanic[Any, Any], settings: Settings) -> None:
    """Prepare what ``finish`` adds; called before any route answers."""
    app.ctx.answer_headers = AnswerHeaders(settings)
    app.ctx.cross_origin = CrossOrigin(settings)


def finish(
    request: Request, response: HTTPResponse, *, is_public: bool = False, allowance: Allowance | None = None
) -> HTTPResponse:
    """Add to an answer what every answer carries; what its handler has set itself stays.

    A page has three headers more; ``allowance`` is what is left of the caller's rate limit, where one was counted.
    """
    prepared: AnswerHeaders = request.app.ctx.answer_headers
    is_for_all = is_public and response.status < 400
    more: Headers = ()
    if (origin := request.headers.get("origin")) is not None:
        cross_origin: CrossOrigin = request.app.ctx.cross_origin
        more = cross_origin.headers(origin)
    if isinstance(response, Answer):
        response.fixed = prepared.public_lines if is_for_all else prepared.private_lines
        if allowance is not None:
            response.fixed += _LEFT % allowance
        if more:
            response.fixed += lines(more)
        return response
    if allowance is not None:
        more += tuple(zip(_LEFT_NAMES, (b"%d" % number for number in allowance), strict=True))
    if (response.content_type or "").startswith("text/html"):
        more += PAGE
    for name, value in (*more, *(prepared.public if is_for_all else prepared.private)):
        response.headers.setdefault(name.decode(), value.decode())
    return response


def lines(headers: Headers) -> bytes:
    """Headers as they are sent, each after a line break."""
    return b"".join(b"\r\n%b: %b" % header for header in headers)
