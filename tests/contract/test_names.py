"""Names: wherever a person's text names something, it is one line and can be seen, or 422 names the field."""

from __future__ import annotations

from typing import Any

import pytest
from httpx2 import Response
from support.admin import as_operator, as_tenant, new_tenant
from support.builders import licensed
from support.live import LiveServer
from support.rows import row_counts

from app import typed_text
from app.access.permissions import Role
from app.errors import PortalError, ValidationError
from app.services.billing.plans import ensure_plan
from app.services.licensing.codes import generate_codes
from app.services.operators.accounts import ensure_operator
from app.services.operators.api_tokens import create_token
from app.services.tenants.onboarding import ensure_tenant

UNSEEN = (
    "\u200b\u2060",
    "\u3164",
    "\u115f\u1160",
    "\u2800",
    "\ufe0f",
    "\U000e0041",
    "\u034f",
    "\u180e",
    "\u061c \u2063",
)
SEVERAL_LINES = ("a\nb", "a\r\nBcc: b", "a\u2028b", "a\u2029b", "a\x85b", "a\x0bb", "a\x1bb", "a\x7fb", "a\tb")
SITE = {"name": "Site", "description": "A site.", "objectives": "A page."}
PLAN = {"stripePriceId": "price_new", "monthlyRunQuota": 1}
# How something is named: who asks, the method, the path, the body and the field.
PLACES: dict[str, tuple[str, str, str, dict[str, Any], str]] = {
    "tenant": ("operator", "POST", "/admin/api/tenants", {**new_tenant("another", "{plan}")}, "name"),
    "renamed tenant": ("operator", "PUT", "/admin/api/tenants/{slug}", {}, "name"),
    "profile": ("tenant", "PUT", "/api/tenant/profile", {}, "name"),
    "domain": ("tenant", "PUT", "/api/tenant/profile", {}, "domain"),
    "telephone": ("tenant", "PUT", "/api/tenant/profile", {}, "phoneNumber"),
    "plan": ("operator", "POST", "/admin/api/plans", PLAN, "name"),
    "codes": ("operator", "POST", "/admin/api/codes/generate", {"tenant_slug": "{slug}"}, "label"),
    "token": ("operator", "POST", "/admin/api/tokens", {"role": "read_only"}, "name"),
    "project": ("tenant", "POST", "/api/tenant/projects", {}, "name"),
    "client": ("tenant", "POST", "/api/tenant/projects", SITE, "client_name"),
    "purchase": ("tenant", "POST", "/api/tenant/billing/purchase-codes", {"quantity": 1}, "label"),
}
MAY_BE_CLEARED = {"domain", "phoneNumber", "label", "client_name"}


async def named(live: LiveServer, place: str, text: str) -> tuple[Response, str]:
    """The answer where something is named so, and the field."""
    who, method, path, body, field = PLACES[place]
    tenant = await licensed(live)
    headers = await (as_operator(live) if who == "operator" else as_tenant(live, tenant.tenant_id))
    filled = {
        name: value.format(slug=tenant.slug, plan=tenant.plan) if isinstance(value, str) else value
        for name, value in body.items()
    }
    sent = {**filled, field: text}
    return await live.http.request(method, path.format(slug=tenant.slug), headers=headers, json=sent), field


@pytest.mark.parametrize("place", PLACES)
async def test_what_nobody_sees_or_reads_in_one_line_is_no_name(sanic_client: LiveServer, place: str) -> None:
    for text in (*UNSEEN, *SEVERAL_LINES):
        answer, field = await named(sanic_client, place, text)
        is_cleared = field in MAY_BE_CLEARED and not typed_text.stripped(text)
        if is_cleared:
            assert answer.status_code < 300, (text, answer.text)
            continue
        assert answer.status_code == 422, (text, answer.text)
        assert [error["loc"][-1] for error in answer.json()["errors"]] == [field], text
        words = answer.json()["errors"][0]["msg"]
        is_one_line = text in UNSEEN
        assert ("seen" in words or "filled in" in words) if is_one_line else "in one line" in words


async def test_a_name_in_any_script_is_one(sanic_client: LiveServer) -> None:
    for text in ("Zürich & Söhne", "株式会社", "شركة", "עסק", "नमस्ते", "👩‍🔬 Lab", "— x —", "e\u0301", "क्ष"):
        answer, _ = await named(sanic_client, "profile", f" {text}\r\n")
        assert (answer.status_code, answer.json().get("name")) == (200, text)


@pytest.mark.parametrize("text", ["a\nb", "\u3164"])
async def test_a_command_refuses_them_too(sanic_client: LiveServer, text: str) -> None:
    ctx, tenant = sanic_client.ctx, await licensed(sanic_client)
    before = await row_counts(sanic_client)
    calls = (
        ensure_tenant(ctx, name=text, slug="another"),
        ensure_plan(ctx, name=text, price_id="price_other", quota=1),
        generate_codes(ctx, tenant.slug, label=text),
        create_token(ctx, name=text, role=Role.OPERATOR),
        ensure_operator(ctx, email="ann@example.com", role=Role.OPERATOR, name=text),
    )
    for call in calls:
        with pytest.raises(ValidationError) as refused:
            await call
        assert refused.value.fields[0].name in {"name", "label"}
    assert await row_counts(sanic_client) == before
    assert issubclass(ValidationError, PortalError)
