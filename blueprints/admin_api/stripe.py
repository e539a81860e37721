"""What Stripe has told, handled again for an operator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.services.payments import replay
from app.services.payments.replay import Replayed
from blueprints.admin_api import api
from blueprints.web.fields import NO_NUL, CamelRequest


class ReplayRequest(CamelRequest):
    """Which events are handled again: exactly one member chooses them."""

    tenant: Annotated[
        str | None, Field(max_length=100, pattern=NO_NUL, description="All of this tenant, by its slug.")
    ] = None
    event: Annotated[str | None, Field(max_length=255, pattern=NO_NUL, description="This one, by Stripe's id.")] = None
    failed: Annotated[bool, Field(description="Those that have failed, of all tenants.")] = False


@api.operation(
    "POST",
    "/stripe/replay",
    caller=operator(Permission.BILLING_WRITE),
    body=ReplayRequest,
    answers=Replayed,
    status=202,
    errors=(errors.TenantNotFoundError, errors.StripeEventNotFoundError),
)
async def replay_stripe_events(ctx: Context, body: ReplayRequest) -> Replayed:
    """Handle events of Stripe's again, soon; what has followed from them once does not follow twice."""
    return await replay.replay(ctx, tenant_slug=body.tenant, event_id=body.event, failed=body.failed)
