"""The total beside a page of codes counts what the filters choose, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from support.admin import Admin
from support.builders import activated, licensed

from app.services.licensing.codes import revoke_code


@pytest.fixture
async def chosen(admin: Admin) -> str:
    """The slug of a tenant that has a code of each of three statuses, beside another tenant's."""
    tenant = await licensed(admin.live, codes=3)
    await activated(admin.live, tenant, code=tenant.codes[0])
    await revoke_code(admin.live.ctx, tenant.slug, code=tenant.codes[1])
    await activated(admin.live, await licensed(admin.live, codes=3))
    return tenant.slug


@pytest.mark.parametrize("status", ["active", "used", "revoked"])
async def test_a_status_is_counted_in_one_tenant_or_in_a_search(admin: Admin, chosen: str, status: str) -> None:
    async def page(**query: Any) -> tuple[list[str], int]:
        answer = await admin.ask("GET", "/codes", params={"status": status, **query})
        return [code["status"] for code in answer["codes"]], answer["total"]

    assert await page(tenant_slug=chosen) == ([status], 1)
    assert await page(search=chosen.replace("-", " ")) == ([status], 1)
