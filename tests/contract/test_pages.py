"""Pages: each enforces the rule that it states, takes no form that the portal did not give, and escapes what it shows.

Generated from the stated rules, so a page that is added is asked too.
"""

from __future__ import annotations

from importlib.resources import files

import pytest
from httpx2 import Response
from jinja2 import UndefinedError
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import activated
from support.live import LiveServer
from support.operators import HTML
from support.rows import row_counts

from app.access.permissions import Role
from app.server import PAGES
from blueprints.web.pages import Page
from blueprints.web.templates import NAMES, render

ALL = tuple(page for pages in PAGES for page in pages.pages)
GUARDED = tuple(page for page in ALL if not page.caller.is_anyone)
POSTED = tuple(page for page in ALL if page.method == "POST")
JSON = {"accept": "application/json"}


def label(page: Page) -> str:
    """A page as failures name it."""
    return f"{page.method} {page.path}"


async def ask(live: LiveServer, page: Page, headers: dict[str, str], method: str = "") -> Response:
    """The answer to a request for the page, with a form that holds nothing where one is sent."""
    live.http.cookies.clear()
    sent = {"data": {"tenant_slug": "nobody"}} if page.method == "POST" else {}
    return await live.http.request(method or page.method, page.path, headers=headers, **sent)


def test_there_is_something_to_ask() -> None:
    assert {label(page) for page in GUARDED} >= {
        "GET /admin",
        "GET /admin/codes",
        "POST /admin/codes/generate",
        "POST /admin/codes/revoke",
        "GET /admin/devices",
        "POST /admin/devices/revoke",
    }
    assert {page.method for page in ALL} == {"GET", "POST"}


def test_what_administers_states_a_permission_and_changes_need_one_to_write() -> None:
    administering = [page for page in ALL if page.path.startswith("/admin/") and page.path != "/admin/login"]

    assert [label(page) for page in administering if page.caller.permission is None] == []
    reading = Role.READ_ONLY.permissions
    assert [label(page) for page in POSTED if page.caller.permission in reading] == []


@pytest.mark.parametrize("page", GUARDED, ids=label)
async def test_who_is_not_signed_in_is_led_to_the_sign_in_or_refused(sanic_client: LiveServer, page: Page) -> None:
    device = await activated(sanic_client)
    shown = [
        {},
        {"cookie": "session=made.up"},
        {"authorization": "Bearer pat_made-up"},
        device.headers,
        await as_tenant(sanic_client, device.tenant.tenant_id),
    ]
    before = await row_counts(sanic_client)

    for headers in shown:
        person, program = await ask(sanic_client, page, headers | HTML), await ask(sanic_client, page, headers | JSON)
        if page.method == "GET":
            assert (person.status_code, person.headers.get("location")) == (303, "/admin/login")
            assert (await ask(sanic_client, page, headers | JSON, "HEAD")).status_code == 401
        else:
            assert (person.status_code, person.headers["content-type"][:9]) == (401, "text/html")
        assert (program.status_code, program.headers["content-type"]) == (401, "application/problem+json")
    assert await row_counts(sanic_client) == before


@pytest.mark.parametrize("page", [page for page in GUARDED if page.caller.permission is not None], ids=label)
async def test_each_role_gets_what_its_permissions_open(sanic_client: LiveServer, page: Page) -> None:
    for role in Role:
        is_open = page.caller.permission in role.permissions
        for headers in (await operator_cookie(sanic_client, role), await as_operator(sanic_client, role)):
            program = await ask(sanic_client, page, headers | JSON)
            person = await ask(sanic_client, page, headers | HTML)
            code = program.json()["errorCode"] if "problem" in program.headers["content-type"] else None
            if not is_open:
                assert (person.status_code, code) == (403, "permission_missing")
                assert f"{page.caller.permission}" in person.text
            elif page.method == "POST":
                assert (person.status_code, code) == (403, "form_refused")
            else:
                assert code in {None, "tenant_not_found"}
                assert person.status_code == program.status_code


@pytest.mark.parametrize("page", POSTED, ids=label)
async def test_a_form_that_the_portal_did_not_give_is_refused_unread(sanic_client: LiveServer, page: Page) -> None:
    """By whomever it is sent, and from the portal's own pages too."""
    cookie = await operator_cookie(sanic_client)
    before = await row_counts(sanic_client)

    for origin in ({}, {"origin": sanic_client.base_url}, {"origin": "https://evil.example"}):
        answer = await ask(sanic_client, page, {"cookie": cookie["cookie"], **origin} | JSON)
        expected = "origin_refused" if "evil" in origin.get("origin", "") else "form_refused"
        assert (answer.status_code, answer.json()["errorCode"]) == (403, expected)
    assert await row_counts(sanic_client) == before


def test_a_template_escapes_and_a_value_that_is_missing_is_a_fault() -> None:
    values = {"reader": {"name": '<b>"', "menu": ()}, "messages": []}

    assert "&lt;b&gt;&#34;" in render("mailbox.html", **values)
    with pytest.raises(UndefinedError):
        render("mailbox.html", reader=values["reader"])
    assert {page.template for page in ALL if page.template} < NAMES


def test_no_template_marks_anything_as_safe_or_needs_a_script() -> None:
    sources = {name: (files("blueprints") / name).read_text() for name in NAMES}
    forbidden = ("| safe", "|safe", "autoescape", "style=", "javascript:", " onclick")
    assert [(name, word) for name, source in sources.items() for word in forbidden if word in source] == []
    # Swagger UI and the explorer are scripts.
    assert {name for name, source in sources.items() if "<script" in source} == {
        "documentation.html",
        "graphql_api/explorer.html",
    }
    forms = {name for name, source in sources.items() if 'method="post"' in source}
    assert [name for name in forms if 'name="form_token"' not in sources[name]] == []
