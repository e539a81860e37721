"""Changes of where tenants' one-time passwords go, which wait for a confirmation."""

from __future__ import annotations

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.services.tenants import contact_changes
from app.services.tenants.contact_changes import ContactChange
from blueprints.admin_api import api
from blueprints.web.fields import TENANT_SLUG_IN_PATH

PATH = "/tenants/{tenant_slug}/contact-change"
ERRORS = (errors.TenantNotFoundError, errors.ContactChangeNotFoundError)


@api.operation(
    "GET",
    PATH,
    caller=operator(Permission.TENANTS_READ),
    answers=ContactChange,
    errors=ERRORS,
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def contact_change(ctx: Context, tenant_slug: str) -> ContactChange:
    """The change of a tenant's e-mail address or telephone number that waits."""
    return await contact_changes.waiting_change(ctx, tenant_slug)


@api.operation(
    "POST",
    f"{PATH}/confirm",
    caller=operator(Permission.TENANTS_WRITE),
    answers=ContactChange,
    errors=ERRORS,
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def confirm_contact_change(ctx: Context, tenant_slug: str) -> ContactChange:
    """Make the change that waits, for a tenant that is known otherwise; where codes went before is told."""
    return await contact_changes.decide_as_operator(ctx, tenant_slug, is_confirmed=True)


@api.operation(
    "POST",
    f"{PATH}/refuse",
    caller=operator(Permission.TENANTS_WRITE),
    answers=ContactChange,
    errors=ERRORS,
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def refuse_contact_change(ctx: Context, tenant_slug: str) -> ContactChange:
    """Refuse the change that waits; every session of the tenant ends."""
    return await contact_changes.decide_as_operator(ctx, tenant_slug, is_confirmed=False)
