"""Issuing codes: the bounds of what may be asked for, and what is told of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from support.builders import licensed
from support.live import LiveServer
from support.rows import row_counts, told

from app.errors import ValidationError
from app.services.licensing.code_list import list_codes
from app.services.licensing.codes import generate_codes

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"count": 0}, "count: must be from 1 to 100"),
    ({"count": 101}, "count: must be from 1 to 100"),
    ({"ttl_days": -1}, "ttl_days: must be from 1 to 3650"),
    ({"ttl_days": 3651}, "ttl_days: must be from 1 to 3650"),
    ({"max_uses": 0}, "max_uses: must be from 1 to 1000000"),
    ({"max_uses": 1_000_001}, "max_uses: must be from 1 to 1000000"),
    ({"label": "l" * 256}, "label: must have at most 255 characters"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
async def test_what_is_out_of_bounds_is_named_and_makes_no_code(
    sanic_client: LiveServer, wrong: dict[str, Any], message: str
) -> None:
    tenant = await licensed(sanic_client)
    before = await row_counts(sanic_client)

    with pytest.raises(ValidationError, match=message) as refused:
        await generate_codes(sanic_client.ctx, tenant.slug, **wrong)

    (field,) = refused.value.fields
    assert field.path == tuple(wrong)
    assert field.kind == ("string_too_long" if "label" in wrong else "out_of_range")
    assert await row_counts(sanic_client) == before


@pytest.mark.parametrize(
    "largest", [{"count": 100}, {"ttl_days": 3650}, {"max_uses": 1_000_000}, {"label": "l" * 255}, {"ttl_days": 0}]
)
async def test_as_much_as_the_bounds_allow_is_made(sanic_client: LiveServer, largest: dict[str, Any]) -> None:
    tenant = await licensed(sanic_client)

    made = await generate_codes(sanic_client.ctx, tenant.slug, **largest)

    assert len(made) == largest.get("count", 1)


async def test_codes_made_together_are_told_once_with_what_was_asked_for(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    asked = {"max_uses": 3, "ttl_days": 30, "label": "Fair"}

    await generate_codes(sanic_client.ctx, tenant.slug, count=2, **asked)

    single, several = [
        event for event in await told(sanic_client, tenant.tenant_id) if event.event_type == "code_generated"
    ]
    name = f"Tenant {tenant.slug.removeprefix('tenant-')}"
    assert (single.title, several.title) == (
        f"1 activation code generated for {name}",
        f"2 activation codes generated for {name}",
    )
    stored = (await list_codes(sanic_client.ctx, tenant_slug=tenant.slug)).rows
    assert (single.code_id, several.code_id) == (stored[2].id, stored[1].id)
    assert orjson.loads(several.metadata) == {"code_count": 2, **asked}
