"""Sign-in links for tenants that cannot sign in by themselves."""

from __future__ import annotations

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.services.tenants import sign_in_links
from app.services.tenants.sign_in_links import SignInLink
from blueprints.admin_api import api
from blueprints.web.fields import TENANT_SLUG_IN_PATH


@api.operation(
    "POST",
    "/tenants/{tenant_slug}/sign-in-link",
    caller=operator(Permission.TENANTS_WRITE),
    status=201,
    answers=SignInLink,
    errors=(errors.TenantNotFoundError,),
    path_parameters=TENANT_SLUG_IN_PATH,
    creates=True,
)
async def create_sign_in_link(ctx: Context, tenant_slug: str) -> SignInLink:
    """Make a link that signs a tenant in once, within an hour.

    It is shown in this answer and never again, and ends the one before. Hand it to nobody but the tenant.
    """
    return await sign_in_links.make_link(ctx, tenant_slug)
