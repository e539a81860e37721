"""Plans of searches: what is searched for within one tenant is compared with nobody else's rows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Select, insert, text
from support.live import LiveServer
from support.plans import plan_of

from sql.lists import code_list, device_list
from sql.tables import tenants

TENANTS = 2_000


@pytest.mark.parametrize(
    "statement", [code_list.code_page(True, "way", False), device_list.device_page(True, True, False)]
)
async def test_a_search_within_a_tenant_compares_the_name_of_that_tenant_alone(
    sanic_client: LiveServer, statement: Select[Any]
) -> None:
    now = sanic_client.ctx.now()
    rows = [{"name": "T", "slug": f"t-{number}", "created_at": now, "updated_at": now} for number in range(TENANTS)]
    async with sanic_client.ctx.write() as conn:
        await conn.insert_all(insert(tenants), rows)
    async with sanic_client.ctx.write() as conn:
        await conn.affected(text("ANALYZE"))
    searched = {"pattern": "%t%", "hint": "", "fingerprint_from": "t", "fingerprint_to": "u"}

    plan = await plan_of(
        sanic_client, statement, {**searched, "tenant_slug": "t-1", "now": now, "page_size": 25, "skip": 0}
    )

    for whole in ("Seq Scan on tenants", "SCAN tenants"):
        assert whole not in plan, plan
