"""Tenants and devices of a server that runs in processes of its own."""

from __future__ import annotations

import uuid

from support.builders import Licensed
from support.processes import ServerProcess

from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant


async def tenant_on(server: ServerProcess, *, max_uses: int = 1, max_devices: int | None = None) -> Licensed:
    """A tenant with a plan of its own and one code."""
    name = uuid.uuid4().hex[:8]
    await ensure_plan(server.ctx, name=name, price_id=name, quota=10, max_devices=max_devices)
    tenant, _ = await ensure_tenant(server.ctx, name=name, slug=f"t-{name}")
    await link_subscription(server.ctx, tenant_slug=tenant.slug, plan_name=name)
    codes = await generate_codes(server.ctx, tenant.slug, max_uses=max_uses)
    return Licensed(tenant.slug, tenant.id, name, codes)


async def activate(server: ServerProcess, tenant: Licensed, hw_fingerprint: str) -> tuple[int, dict[str, object]]:
    """The status and the body of an answer to an activation with the tenant's code."""
    body = {
        "tenant_slug": tenant.slug,
        "activation_code": tenant.codes[0],
        "hw_fingerprint": hw_fingerprint,
    }
    answer = await server.http.post("/authz/activate", json=body)
    return answer.status_code, answer.json()
