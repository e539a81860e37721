"""Forms of pages: reading them, and the token by which the portal knows that it gave a form to this very browser."""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qsl

from sanic import Request
from sanic.response import HTTPResponse

from app.errors import FormRefusedError, OriginRefusedError, RequestError
from app.runtime import Runtime
from blueprints.web.cookies import cookies_of, session_cookies

FORM_TYPE = "application/x-www-form-urlencoded"
# Who is not signed in yet has a cookie for forms only.
FORM_COOKIE = "form"
FORM_FIELD = "form_token"
MAX_BYTES = 64 * 1024
MAX_FIELDS = 100


def read_form(request: Request, runtime: Runtime) -> dict[str, str]:
    """The fields of a form that this portal gave to this browser.

    Raises FormRefusedError, OriginRefusedError, RequestError.
    """
    _check_origin(request, runtime)
    if (request.headers.get("content-type") or "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise RequestError
    try:
        fields = dict(parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise RequestError from None
    token = fields.pop(FORM_FIELD, "").encode()
    # Each is compared: a form may be served below one path and sent below another, where other cookies come first.
    if not any(hmac.compare_digest(token, _token(runtime, one).encode()) for one in _holders(request, runtime)):
        raise FormRefusedError
    return fields


class FormGuard:
    """The token of the forms on one page; ``applied`` gives the page the cookie that the token belongs to."""

    def __init__(self, request: Request, runtime: Runtime) -> None:
        self._runtime = runtime
        self._new_cookie: str | None = None
        self._holder = next(iter(_holders(request, runtime)), None)

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


def _holders(request: Request, runtime: Runtime) -> list[str]:
    """What a form's token may belong to: the session of who is signed in, else the cookie for forms."""
    if sessions := session_cookies(request, runtime.keys):
        return [f"session {session}" for session in sessions]
    return [_unsigned(cookie) for cookie in cookies_of(request, FORM_COOKIE)]


def _unsigned(cookie: str) -> str:
    return f"form {cookie}"


def _token(runtime: Runtime, holder: str) -> str:
    return runtime.keys.form_mark(holder).hex()
