"""The page on which a person asks in GraphQL: for anybody in development, for operators elsewhere, as the schema is."""

from __future__ import annotations

import secrets
from typing import Final

from sanic import Request

from app.access.callers import ANYONE, operator
from app.access.permissions import Permission
from app.context import Context
from blueprints.web.endpoints import Answered
from blueprints.web.pages import Page, View, reads_pages, shown

PATH: Final = "/graphql"
TEMPLATE: Final = "graphql_api/explorer.html"
# The nonce is for the one style that a dialog adds, which keeps what is behind it from scrolling.
POLICY: Final = (
    "default-src 'self'; style-src 'self' 'nonce-{nonce}'; font-src data:; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
IN_DEVELOPMENT: Final = Page("GET", PATH, ANYONE, TEMPLATE, None)
ELSEWHERE: Final = Page("GET", PATH, operator(Permission.RUNS_READ), TEMPLATE, None)


def is_for_a_person(request: Request) -> bool:
    """Whether a GET asks for the page, and asks nothing in GraphQL itself."""
    return reads_pages(request) and not request.query_string


async def explorer(request: Request, request_id: str) -> Answered:
    """The page; who may not see it is led to where operators sign in."""
    environment = request.app.ctx.runtime.settings.environment
    page = IN_DEVELOPMENT if environment == "development" else ELSEWHERE
    return await shown(page, _view, request, request_id, {})


async def _view(request: Request, ctx: Context) -> View:
    nonce = secrets.token_urlsafe(16)
    return View({"nonce": nonce}, policy=POLICY.format(nonce=nonce))
