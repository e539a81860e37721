"""The cookie by which a tenant's browser is known again: reading it, and giving it with an answer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from sanic.cookies.request import parse_cookie
from sanic.cookies.response import Cookie

from app.context import Context
from app.services.tenants.known_browsers import Mark, cookie_name
from blueprints.web.cookies import MAX_OF_A_NAME

# Sent with nothing but signing in.
PATH = "/api/tenant/auth"
HEADER = {"cookie": "A cookie `known_...` of an earlier sign-in, whose browser has allowances of its own."}


class WithHeaders(NamedTuple):
    """An answer with headers of its own."""

    answer: Any
    headers: dict[str, str]


def marks_in(headers: Mapping[str, str], tenant_slug: str) -> list[str]:
    """What a browser shows to be known as one of this tenant's."""
    sent: list[str] = parse_cookie(headers.get("cookie", "")).get(cookie_name(tenant_slug)) or []
    return list(islice(sent, MAX_OF_A_NAME))


def marked(ctx: Context, answer: Any, mark: Mark) -> WithHeaders:
    """The answer that makes its browser known."""
    return WithHeaders(answer, {"set-cookie": cookie_of(ctx, mark)})


def cookie_of(ctx: Context, mark: Mark) -> str:
    """The cookie of a mark: no script reads it, and no other site's form sends it."""
    is_secure = ctx.runtime.settings.environment != "development"
    return str(
        Cookie(mark.name, mark.value, path=PATH, secure=is_secure, httponly=True, samesite="Lax", max_age=mark.seconds)
    )
