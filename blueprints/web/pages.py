"""How a handler becomes a page for people: who may see it, which template shows it, and errors in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from app.access.callers import ANYONE, Caller
from app.context import Context
from app.errors import PortalError, UnauthenticatedError
from app.runtime import Runtime
from blueprints.web.answer_headers import finish
from blueprints.web.bodies import is_body_left, receive_body
from blueprints.web.cookies import SESSION_COOKIE, cookies_of
from blueprints.web.endpoints import Answered, observed
from blueprints.web.forms import MAX_BYTES, FormGuard, read_form
from blueprints.web.identify import READING, identified
from blueprints.web.problems import problem_of
from blueprints.web.routes import add_route
from blueprints.web.templates import NAMES, render

HOME_PATH = "/admin"
SIGN_IN_PATH = "/admin/login"
HTML = "text/html; charset=utf-8"
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    # Never to another site, where an address holds a sign-in link. With no-referrer a browser would send the forms'
    # Origin as null.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class View(NamedTuple):
    """What a page shows: the values of its template, and the error that its reader can mend there.

    ``policy`` is what a browser may load for it, ``cookie`` one that it is given with the page, as a header writes it.
    """

    values: Mapping[str, object]
    status: int = 200
    error: PortalError | None = None
    policy: str = POLICY
    cookie: str | None = None


Handler = Callable[..., Awaitable[View | HTTPResponse]]


class Page(NamedTuple):
    """A page's method, route, and who may see it; ``menu`` is its name in the menu, where it is there."""

    method: str
    path: str
    caller: Caller
    template: str | None
    menu: str | None


class Link(NamedTuple):
    """An entry of the menu; ``current`` is what it says of itself where it leads to the page it is on."""

    path: str
    text: str
    current: str | None


class Reader(NamedTuple):
    """Who looks at a page: the name under which they are signed in, if they are, and where they may go."""

    name: str | None = None
    menu: tuple[Link, ...] = ()


NOBODY = Reader()


class Pages:
    """A blueprint of pages, named like the folder that holds their templates; ``pages`` lists them with their rules."""

    def __init__(self, name: str) -> None:
        self.blueprint = Blueprint(name)
        self.pages: list[Page] = []
        self._folder = name

    def page(
        self, method: str, path: str, *, template: str | None = None, caller: Caller = ANYONE, menu: str | None = None
    ) -> Callable[[Handler], Handler]:
        """Make a handler ``(request, ctx, [form], **path)`` answer here with a View of the template.

        A page that is posted gets the fields of a form that the portal gave to this browser, and refuses any other
        before its handler runs. A handler may answer an HTTPResponse instead of a View. Who is not signed in is led to
        the sign-in page, if it is a person who reads a page; errors are shown in words to people and as problem
        documents to programs.
        """
        file = template and f"{self._folder}/{template}"
        if file is not None and file not in NAMES:
            raise LookupError(file)

        def register(handler: Handler) -> Handler:
            page = Page(method, path, caller, file, menu)
            self.pages.append(page)
            methods = ["GET", "HEAD"] if method == "GET" else [method]
            route = path.replace("{", "<").replace("}", ":str>")
            add_route(self.blueprint, _endpoint(page, handler), route, methods, handler.__name__)
            return handler

        return register


def _endpoint(page: Page, handler: Handler) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    async def answering(request: Request, request_id: str, path: Mapping[str, Any]) -> Answered:
        return await shown(page, handler, request, request_id, path)

    return observed(page.method, page.path, answering)


async def shown(page: Page, handler: Handler, request: Request, request_id: str, path: Mapping[str, Any]) -> Answered:
    """The page as its reader may see it, or in words why not."""
    try:
        response = await _answer(request, request.app.ctx.runtime, page, request_id, handler, path)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the reader is told in words
        response = _failed(request, page, request_id, failure)
    response.headers["x-request-id"] = request_id
    finish(request, response)
    return Answered(response, response.status)


async def _answer(
    request: Request, runtime: Runtime, page: Page, request_id: str, handler: Handler, path: Mapping[str, Any]
) -> HTTPResponse:
    is_form = page.method not in READING
    ctx = await identified(request, runtime, page.caller, request_id, is_form=is_form)
    if is_body_left(request):
        await receive_body(request, MAX_BYTES if is_form else 0)
    form = (read_form(request, runtime),) if is_form else ()
    view = await handler(request, ctx, *form, **path)
    if isinstance(view, HTTPResponse):
        return view
    if view.error is not None and not reads_pages(request):
        raise view.error
    if page.template is None:
        raise TypeError(f"{page.method} {page.path} has a view and no template")
    guard = FormGuard(request, runtime)
    values = {**view.values, "guard": guard, "zone": runtime.zone}
    response = html_page(page.template, values, reader=_reader(request, ctx, page), status=view.status)
    response.headers["content-security-policy"] = view.policy
    if view.error is not None:
        _say_when_again(response, view.error)
    if view.cookie is not None:
        response.headers.add("set-cookie", view.cookie)
    return guard.applied(response)


def _reader(request: Request, ctx: Context, page: Page) -> Reader:
    if ctx.actor.type != "operator":
        return NOBODY
    entries: tuple[Page, ...] = request.app.ctx.menu
    offered = [entry for entry in entries if entry.caller.permission in ctx.actor.permissions]
    return Reader(ctx.actor.name, tuple(Link(entry.path, entry.menu or "", _current(page, entry)) for entry in offered))


def _current(page: Page, entry: Page) -> str | None:
    if page.path == entry.path:
        return "page"
    return "true" if page.path.startswith(f"{entry.path}/") else None


def _failed(request: Request, page: Page, request_id: str, failure: Exception) -> HTTPResponse:
    problem = problem_of(request, request_id, failure)
    if not reads_pages(request):
        return problem
    is_unknown = isinstance(failure, UnauthenticatedError)
    if is_unknown and not page.caller.is_anyone and request.method in READING:
        return see_other(SIGN_IN_PATH)
    error = failure if isinstance(failure, PortalError) else PortalError()
    is_signed_in = not is_unknown and bool(cookies_of(request, SESSION_COOKIE))
    values = {"error": error, "is_signed_in": is_signed_in}
    return _say_when_again(html_page("web/failure.html", values, status=problem.status), error)


def _say_when_again(response: HTTPResponse, error: PortalError) -> HTTPResponse:
    if (retry_after := error.values.get("retry_after")) is not None:
        response.headers["retry-after"] = str(retry_after)
    return response


def reads_pages(request: Request) -> bool:
    """Whether a person's browser asks, and not a program."""
    return "text/html" in (request.headers.get("accept") or "")


def see_other(path: str) -> HTTPResponse:
    """Lead on to another page."""
    return HTTPResponse(b"", 303, {"location": path, **HEADERS}, HTML)


def html_page(
    template: str, values: Mapping[str, object], *, reader: Reader = NOBODY, status: int = 200
) -> HTTPResponse:
    """A whole page, with the headers of all pages."""
    return HTTPResponse(render(template, **values, reader=reader).encode(), status, dict(HEADERS), HTML)
