"""Forms of pages: reading them, and the token by which the portal knows that it gave a form to this very browser."""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qsl

from sanic import Request
from sanic.response import HTTPResponse

from app.errors import FormRefusedError, OriginRefusedError, PayloadTooLargeError, RequestError
from app.runtime import Runtime
from app.services.operators.identity import read_cookie
from blueprints.web.identify import SESSION_COOKIE

FORM_TYPE = "application/x-www-form-urlencoded"
# Who is not signed in yet has a cookie for forms only.
FORM_COOKIE = "form"
FORM_FIELD = "form_token"
MAX_BYTES = 64 * 1024
MAX_FIELDS = 100


def read_form(request: Request, runtime: Runtime) -> dict[str, str]:
    """The fields of a form that this portal gave to this browser.

    Raises FormRefusedError, OriginRefusedError, PayloadTooLargeError, RequestError.
    """
    _check_origin(request, runtime)
    if len(request.body) > MAX_BYTES:
        raise PayloadTooLargeError(limit=MAX_BYTES)
    if (request.headers.get("content-type") or "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise RequestError
    try:
        fields = dict(parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise RequestError from None
    holder = _holder(request, runtime)
    token = fields.pop(FORM_FIELD, "")
    if holder is None or not hmac.compare_digest(token.encode(), _token(runtime, holder).encode()):
        raise FormRefusedError
    return fields


class FormGuard:
    """The token of the forms on one page; ``applied`` gives the page the cookie that the token belongs to."""

    def __init__(self, request: Request, runtime: Runtime) -> None:
        self._runtime = runtime
        self._new_cookie: str | None = None
        self._holder = _holder(request, runtime)

    @property
    def token(self) -> str:
        """What the hidden field ``form_token`` of each form holds."""
        if self._holder is None:
            self._new_cookie = secrets.token_urlsafe(24)
            self._holder = _unsigned(self._new_cookie)
        return _token(self._runtime, self._holder)

    def applied(self, response: HTTPResponse) -> HTTPResponse:
        """The page with its cookie, where it has a form and the browser had none."""
        if self._new_cookie is not None:
            set_cookie(response, self._runtime, FORM_COOKIE, self._new_cookie)
        return response


def set_cookie(
    response: HTTPResponse, runtime: Runtime, name: str, value: str, *, path: str = "/", seconds: int | None = None
) -> None:
    """Give the browser a cookie that no script reads and no other site's form sends; 0 seconds take it away."""
    secure = runtime.settings.environment != "development"
    response.add_cookie(name, value, path=path, secure=secure, httponly=True, samesite="Lax", max_age=seconds)


def _check_origin(request: Request, runtime: Runtime) -> None:
    """A browser says where a form comes from: from an allowed origin or from the page's own host."""
    origin = (request.headers.get("origin") or "").lower()
    # Cut and not parsed: what is no origin is to be refused, and no fault of ours.
    place = origin.partition("://")[2]
    is_own = bool(place) and place == (request.headers.get("host") or "").lower()
    if origin and origin not in runtime.settings.trusted_origins and not is_own:
        raise OriginRefusedError


def _holder(request: Request, runtime: Runtime) -> str | None:
    """What the form's token belongs to: the session of who is signed in, else the cookie for forms."""
    session = request.cookies.get(SESSION_COOKIE)
    if session and read_cookie(runtime.keys, session) is not None:
        return f"session {session}"
    cookie = request.cookies.get(FORM_COOKIE)
    return _unsigned(cookie) if cookie else None


def _unsigned(cookie: str) -> str:
    return f"form {cookie}"


def _token(runtime: Runtime, holder: str) -> str:
    return runtime.keys.form_mark(holder).hex()
