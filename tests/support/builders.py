"""One-line arrangements: a tenant with a plan and codes, a device that is activated."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from httpx2 import Response
from support.live import LiveServer

from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant


@dataclass(frozen=True)
class Licensed:
    """A tenant with a subscription and the codes that were made for it."""

    slug: str
    tenant_id: int
    plan: str
    codes: list[str]


@dataclass(frozen=True)
class Activated:
    """A device and its tokens."""

    tenant: Licensed
    device_id: int
    hw_fingerprint: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What the device sends with each request."""
        return {"authorization": f"Bearer {self.access_token}"}


async def licensed(
    live: LiveServer,
    *,
    codes: int = 1,
    max_uses: int = 1,
    max_devices: int | None = None,
    quota: int = 50,
    state: str | None = "active",
    ttl_days: int | None = None,
) -> Licensed:
    """A new tenant on a plan of its own; without a subscription where ``state`` is None."""
    name = uuid.uuid4().hex[:8]
    plan = f"Plan {name}"
    await ensure_plan(live.ctx, name=plan, price_id=f"price_{name}", quota=quota, max_devices=max_devices)
    tenant, _ = await ensure_tenant(live.ctx, name=f"Tenant {name}", slug=f"tenant-{name}")
    if state is not None:
        await link_subscription(live.ctx, tenant_slug=tenant.slug, plan_name=plan, state=state)
    made = await generate_codes(live.ctx, tenant.slug, count=codes, max_uses=max_uses, ttl_days=ttl_days)
    return Licensed(tenant.slug, tenant.id, plan, made)


async def activated(
    live: LiveServer, tenant: Licensed | None = None, hw_fingerprint: str = "hardware-1", code: str | None = None
) -> Activated:
    """A device of the tenant, or of a new one, with its tokens."""
    tenant = tenant or await licensed(live, max_uses=100)
    answer = await activate(live, tenant, hw_fingerprint, code)
    assert answer.status_code == 200, answer.text
    pair = answer.json()
    return Activated(tenant, pair["device_id"], hw_fingerprint, pair["access_token"], pair["refresh_token"])


async def activate(
    live: LiveServer, tenant: Licensed, hw_fingerprint: str = "hardware-1", code: str | None = None
) -> Response:
    """The answer to an activation with the tenant's first code or another one."""
    body = {
        "tenant_slug": tenant.slug,
        "activation_code": tenant.codes[0] if code is None else code,
        "hw_fingerprint": hw_fingerprint,
    }
    return await live.http.post("/authz/activate", json=body)


async def refresh(live: LiveServer, device: Activated, **changes: Any) -> Response:
    """The answer to a refresh with the device's token; ``changes`` replace fields of the body."""
    body = {
        "tenant_slug": device.tenant.slug,
        "device_id": device.device_id,
        "refresh_token": device.refresh_token,
        **changes,
    }
    return await live.http.post("/authz/refresh", json=body)


async def report(live: LiveServer, device: Activated, *events: dict[str, Any], slug: str | None = None) -> Response:
    """The answer to usage events that the device sends."""
    path = f"/usage/{slug or device.tenant.slug}/events"
    return await live.http.post(path, headers=device.headers, json={"events": list(events)})


def run_event(event_id: str, quantity: int = 1, **more: Any) -> dict[str, Any]:
    """One usage event as a device sends it."""
    return {"id": event_id, "kind": "run", "quantity": quantity, **more}


async def subscribe(live: LiveServer, tenant: Licensed, state: str) -> None:
    """Put the tenant's subscription into this state."""
    await link_subscription(live.ctx, tenant_slug=tenant.slug, plan_name=tenant.plan, state=state)
