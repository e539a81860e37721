"""The explorer of GraphQL: who may see it, and that it loads nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import activated, licensed
from support.graphql import PATH
from support.live import LiveServer, live_server
from support.operators import HTML

from app.settings import Settings


async def test_anybody_sees_it_in_development_and_it_loads_only_what_is_here(sanic_client: LiveServer) -> None:
    page, again = [await sanic_client.http.get(PATH, headers=HTML) for _ in range(2)]

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    (nonce,) = re.findall(r'nonce="([\w-]{20,})"', page.text)
    assert policy.startswith(f"default-src 'self'; style-src 'self' 'nonce-{nonce}';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert nonce not in again.text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len([path for path in loaded if path.startswith("/static/")]) == 9
    for path in loaded:
        assert re.match(r"[/#]\w*", path)
        if path.startswith("/static/"):
            answer = await sanic_client.http.get(path)
            assert answer.status_code == 200
            # What a style loads stands in itself.
            if path.endswith(".css"):
                assert set(re.findall(r"url\([\"']?(\w+:)?", answer.text)) <= {"data:"}


def test_what_is_not_ours_has_its_license_beside_it() -> None:
    folder = files("blueprints") / "static" / "graphiql"
    licenses = (folder / "LICENSES").read_text()

    for line in (folder / "VERSION").read_text().splitlines():
        assert f"\n{line}\n" in licenses
    assert "react.production.min.js" in (folder / "react.production.min.js").read_text()


async def test_programs_and_documents_are_answered_as_before(sanic_client: LiveServer, mine: dict[str, str]) -> None:
    asked = await sanic_client.http.get(PATH, headers={**mine, **HTML}, params={"query": "{ projects { id } }"})
    program = await sanic_client.http.get(PATH, headers={"accept": "*/*"})

    assert asked.json()["data"] == {"projects": []}
    assert (program.status_code, program.headers["content-type"]) == (401, "application/json")


async def test_elsewhere_it_is_for_those_who_may_see_the_schema(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_server(settings.model_copy(update={"environment": "production"})) as live:
        tenant = await licensed(live)
        operators = [await operator_cookie(live, "read_only"), await as_operator(live, "read_only")]
        others = [
            {},
            await as_tenant(live, tenant.tenant_id),
            (await activated(live, tenant)).headers,
            {"cookie": "session=made.up"},
            {"authorization": "Bearer pat_made-up"},
        ]
        for headers, status in [*((one, 303) for one in others), *((one, 200) for one in operators)]:
            page = await live.http.get(PATH, headers=headers | HTML)
            assert (page.status_code, page.headers.get("location")) == (
                status,
                "/admin/login" if status == 303 else None,
            )
            live.http.cookies.clear()
        monkeypatch.setattr("app.access.permissions.Role.permissions", frozenset())
        for headers in operators:
            page = await live.http.get(PATH, headers=headers | HTML)
            assert (page.status_code, "runs:read" in page.text) == (403, True)
