"""Deciding a change of where one-time passwords go, by the link that was sent there."""

from __future__ import annotations

from collections.abc import Mapping

from sanic import Request

from app.context import Context
from app.errors import RequestError
from app.services.tenants import contact_changes
from app.services.tenants.contact_changes import ContactChange
from app.services.tenants.contact_messages import PATH, changes_in_words
from blueprints.tenant_pages import pages
from blueprints.web.pages import View


@pages.page("GET", PATH + "{token}", template="contact_change.html")
async def contact_change(request: Request, ctx: Context, token: str) -> View:
    """Ask whether to make a change; to look at it decides nothing."""
    return View({"token": token, **_words(await contact_changes.change_of_link(ctx, token))})


@pages.page("POST", "/contact-change", template="contact_change_decided.html")
async def decide_contact_change(request: Request, ctx: Context, form: Mapping[str, str]) -> View:
    """Make or refuse the change; raises RequestError for a form that says neither, as a refusal ends sessions."""
    if (decision := form.get("decision")) not in {"confirm", "refuse"}:
        raise RequestError
    decided = await contact_changes.decide_by_link(ctx, form.get("token", ""), is_confirmed=decision == "confirm")
    return View(_words(decided))


def _words(change: ContactChange) -> dict[str, object]:
    return {"change": change, "changes": changes_in_words({one.field: one.value for one in change.changes})}
