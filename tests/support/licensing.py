"""What a tenant's codes and seats have come to."""

from __future__ import annotations

from support.builders import Licensed
from support.live import LiveServer
from support.rows import rows

from app.services.licensing.code_list import list_codes
from sql.statements.billing import current_subscription


async def uses(live: LiveServer, tenant: Licensed) -> list[int]:
    """How often each of the tenant's codes was used, oldest code first."""
    return [code.use_count for code in reversed((await list_codes(live.ctx, tenant_slug=tenant.slug)).rows)]


async def seats(live: LiveServer, tenant: Licensed) -> int:
    """The seats that the tenant's subscription says are taken."""
    (subscription,) = await rows(live, current_subscription, tenant_id=tenant.tenant_id)
    return subscription.seats_used
