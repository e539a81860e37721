"""A tenant's own profile."""

from __future__ import annotations

from app import errors
from app.access.callers import TENANT
from app.context import Context
from app.services.directory.tenant_fields import ProfileUpdate
from app.services.tenants import changes, details
from blueprints.tenant_api import api
from blueprints.web.tenant_fields import TenantAnswer

ERRORS = (errors.TenantNotFoundError,)


@api.operation("GET", "/profile", caller=TENANT, answers=TenantAnswer, errors=ERRORS)
async def profile(ctx: Context) -> TenantAnswer:
    """The signed-in tenant, with this month's usage and codes."""
    return TenantAnswer.of(await details.own_details(ctx))


@api.operation(
    "PUT", "/profile", caller=TENANT, body=ProfileUpdate, answers=TenantAnswer, errors=ERRORS, shown_as_is=True
)
async def update_profile(ctx: Context, body: ProfileUpdate) -> TenantAnswer:
    """Change the signed-in tenant's name, logo, colour, domain, e-mail address or telephone number.

    What is absent stays as it is; null or a blank clears what may be absent. Plan and quota are the operator's.
    """
    return TenantAnswer.of(await changes.update_own_profile(ctx, body.changes()))
