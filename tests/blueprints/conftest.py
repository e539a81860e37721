"""What tests of the APIs of operators and tenants begin with."""

from __future__ import annotations

import pytest
from support.admin import Admin, as_operator, as_tenant
from support.builders import Licensed, licensed
from support.live import LiveServer

from app.services.billing.plans import ensure_plan


@pytest.fixture
async def admin(sanic_client: LiveServer) -> Admin:
    """An owner."""
    return Admin(sanic_client, await as_operator(sanic_client))


@pytest.fixture
async def plan(sanic_client: LiveServer) -> str:
    """A plan of 50 runs."""
    await ensure_plan(sanic_client.ctx, name="Pro", price_id="price_pro", quota=50)
    return "Pro"


@pytest.fixture
async def tenant(sanic_client: LiveServer) -> Licensed:
    """A tenant with an active subscription."""
    return await licensed(sanic_client)


@pytest.fixture
async def mine(sanic_client: LiveServer, tenant: Licensed) -> dict[str, str]:
    """What the tenant's browser sends."""
    return await as_tenant(sanic_client, tenant.tenant_id)
