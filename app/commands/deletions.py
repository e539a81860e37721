"""Deletions of tenants, from the command line."""

from __future__ import annotations

from dataclasses import asdict

from app.commands.output import answer, table
from app.commands.pages import all_rows
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.figures.totals import Page
from app.services.tenants import deletion_list
from app.services.tenants.deletion_list import TenantDeletion


async def list_deletions(*, as_json: AsJson = False) -> None:
    """List the deletions of tenants with their progress, newest first."""
    async with operating() as ctx:

        async def page(number: int, size: int) -> Page[TenantDeletion]:
            return await deletion_list.list_deletions(ctx, page=number, page_size=size)

        listed = await all_rows(page)
    columns = ("id", "tenant", "status", "percent", "rows", "requested (UTC)", "by", "name")
    rows = [
        (
            each.id,
            each.slug,
            each.status,
            each.percent,
            each.removed if each.expected is None else f"{each.removed}/{each.expected}",
            f"{each.requested_at:%Y-%m-%d %H:%M}",
            each.requested_by,
            each.name,
        )
        for each in listed
    ]
    output = table(columns, rows) if rows else "No tenant was ever deleted."
    answer(as_json, {"deletions": [asdict(each) for each in listed]}, output)
