"""Using a tenant's sign-in link in a browser: looking at it uses nothing up, sending the form does."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from sanic import Request

from app.context import Context
from app.services.tenants import sign_in_links
from blueprints.tenant_pages import pages
from blueprints.web.known_browsers import cookie_of
from blueprints.web.pages import View


@pages.page("GET", sign_in_links.PATH + "{token}", template="sign_in.html")
async def tenant_link(request: Request, ctx: Context, token: str) -> View:
    """Ask whether to sign in: a program that looks at a link in a mail uses nothing up."""
    owner = await sign_in_links.link_owner(ctx, token)
    return View({"token": token, "tenant": owner})


@pages.page("POST", "/sign-in", template="signed_in.html")
async def use_tenant_link(request: Request, ctx: Context, form: Mapping[str, str]) -> View:
    """Use the link, make the browser known, and lead on to the tenants' front end with the session in the fragment."""
    admitted = await sign_in_links.use_link(ctx, form.get("token", ""))
    session = admitted.session
    told = {
        "session_token": session.session_token,
        "expires_at": session.expires_at.isoformat(),
        "tenant_id": session.tenant_id,
        "tenant_slug": session.tenant_slug,
    }
    # A fragment stays in the browser: neither a server nor a proxy on the way sees the token.
    front_end = sign_in_links.front_end_url(ctx.runtime.settings)
    values = {"session": session, "front_end": front_end, "leads_to": f"{front_end}#{urlencode(told)}"}
    return View(values, cookie=cookie_of(ctx, admitted.mark))
