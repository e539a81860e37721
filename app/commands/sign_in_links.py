"""Sign-in links for tenants, from the command line."""

from __future__ import annotations

from rich.text import Text

from app.commands.output import answer, escape
from app.commands.parameters import AsJson, TenantSlug
from app.commands.session import operating
from app.services.tenants import sign_in_links


async def sign_in_link(*, tenant: TenantSlug, as_json: AsJson = False) -> None:
    """Make a link that signs a tenant in once, for one that cannot sign in by itself; an earlier one ends."""
    async with operating() as ctx:
        link = await sign_in_links.make_link(ctx, tenant)
        minutes = ctx.runtime.settings.tenant_sign_in_link_seconds / 60
    members = {"tenant": link.tenant_slug, "sign_in_url": link.sign_in_url, "expires_at": link.expires_at.isoformat()}
    note = f"It works once, within {minutes:g} minutes. Hand it to nobody but the tenant."
    answer(
        as_json,
        members,
        f"Sign-in link for {escape(link.tenant_slug)}:",
        Text(link.sign_in_url, style="bold"),
        Text(note, style="dim"),
    )
