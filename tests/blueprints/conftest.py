"""What tests of the APIs of operators and tenants begin with."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.admin import Admin, as_operator, as_tenant
from support.builders import Licensed, licensed
from support.graphql import TASKS, stored_project, stored_run
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


@pytest.fixture
async def going_on(sanic_client: LiveServer, tenant: Licensed) -> tuple[str, list[int]]:
    """A project of the tenant whose run began two minutes ago, and the ids of its tasks."""
    project_id = await stored_project(sanic_client, tenant)
    began = sanic_client.ctx.now() - timedelta(minutes=2)
    return project_id, await stored_run(sanic_client, project_id, TASKS, started_at=began)
