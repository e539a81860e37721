"""What tests of the admin API begin with."""

from __future__ import annotations

import pytest
from support.admin import Admin, as_operator
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
