"""A tenant's own profile."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app import errors
from app.access.callers import ANYONE, TENANT
from app.context import Context
from app.services.directory.tenant_fields import ProfileUpdate
from app.services.tenants import changes, contact_changes, details
from app.services.tenants.contact_changes import ContactChange
from blueprints.tenant_api import api
from blueprints.web.fields import NO_NUL, RequestModel
from blueprints.web.tenant_fields import TenantAnswer


class ContactDecision(RequestModel):
    """What becomes of a change."""

    token: Annotated[
        str, Field(min_length=1, max_length=200, pattern=NO_NUL, description="The last part of the link's address.")
    ]
    is_confirmed: Annotated[bool, Field(description="Whether the change is made; otherwise it is refused.")]


ERRORS = (errors.TenantNotFoundError,)


@api.operation("GET", "/profile", caller=TENANT, answers=TenantAnswer, errors=ERRORS)
async def profile(ctx: Context) -> TenantAnswer:
    """The signed-in tenant, with this month's usage and codes."""
    return TenantAnswer.of(await details.own_details(ctx))


@api.operation(
    "PUT",
    "/profile",
    caller=TENANT,
    body=ProfileUpdate,
    answers=TenantAnswer,
    errors=(errors.TenantNotFoundError, errors.ContactChangeWaitsError, errors.RateLimitedError),
    shown_as_is=True,
)
async def update_profile(ctx: Context, body: ProfileUpdate) -> TenantAnswer:
    """Change the signed-in tenant's name, logo, colour, domain, e-mail address or telephone number.

    What is absent stays as it is; null or a blank clears what may be absent. Plan and quota are the operator's. Another
    e-mail address or telephone number waits until it is confirmed from where one-time passwords go, or by an operator:
    then everything else is saved, and the answer is 409 `contact_change_waits` with a sentence that says so.
    """
    return TenantAnswer.of(await changes.update_own_profile(ctx, body.changes()))


@api.operation(
    "POST",
    "/contact-change",
    caller=ANYONE,
    body=ContactDecision,
    answers=ContactChange,
    errors=(errors.TenantLinkInvalidError, errors.RateLimitedError),
)
async def decide_contact_change(ctx: Context, body: ContactDecision) -> ContactChange:
    """Confirm or refuse a change of where one-time passwords go, by the token of the link that was sent there.

    A refusal also ends every session of the tenant.
    """
    return await contact_changes.decide_by_link(ctx, body.token, is_confirmed=body.is_confirmed)
