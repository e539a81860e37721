"""Codes and devices of many tenants: pages of their lists, and single ones by their ids, with one statement each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Executable

from app.context import Context
from app.cursors import END, Place
from app.database.connections import as_batch
from app.services.directory.visible import sees, sees_named
from app.services.figures.totals import Total, capped, read_page
from app.services.licensing.code_list import ListedCode
from app.services.licensing.device_list import ListedDevice
from sql.lists import code_list, device_list
from sql.lists import tenant_relations as statements

Row = TypeVar("Row", ListedCode, ListedDevice)


class TenantList(NamedTuple):
    """The codes or the devices of a tenant, newest first; of codes perhaps only those with a status."""

    tenant_id: int
    status: str | None = None


class TenantPart(NamedTuple):
    """So many rows of a tenant's list behind a place, or the first ones."""

    list: TenantList
    wanted: int
    after: Place | None = None


async def codes_of_tenants(ctx: Context, parts: Sequence[TenantPart]) -> list[list[ListedCode]]:
    """These parts of the lists of codes, with one statement."""
    pages = await _pages(ctx, statements.codes_of_tenants, parts)
    return [[ListedCode(*row[1:]) for row in page] for page in pages]


async def devices_of_tenants(ctx: Context, parts: Sequence[TenantPart]) -> list[list[ListedDevice]]:
    """These parts of the lists of devices, with one statement."""
    pages = await _pages(ctx, statements.devices_of_tenants, parts)
    return [[ListedDevice(*row[1:]) for row in page] for page in pages]


async def counts_of_codes(ctx: Context, lists: Sequence[TenantList]) -> list[Total]:
    """How many codes each list has, with one statement."""
    return await _counts(ctx, statements.counts_of_codes, lists)


async def counts_of_devices(ctx: Context, lists: Sequence[TenantList]) -> list[Total]:
    """How many devices each list has, with one statement."""
    return await _counts(ctx, statements.counts_of_devices, lists)


async def codes_by_id(ctx: Context, ids: Sequence[int]) -> list[ListedCode | None]:
    """The codes with these ids that the caller sees, in the order of the ids."""
    batch = as_batch([{"id": code_id} for code_id in ids])
    async with ctx.read() as conn:
        found, _ = read_page(await conn.rows(code_list.codes_by_ids, batch=batch, now=ctx.now()), ListedCode)
    return _in_order(ctx, found, ids)


async def devices_by_id(ctx: Context, ids: Sequence[int]) -> list[ListedDevice | None]:
    """The devices with these ids that the caller sees, in the order of the ids."""
    batch = as_batch([{"id": device_id} for device_id in ids])
    async with ctx.read() as conn:
        found, _ = read_page(await conn.rows(device_list.devices_by_ids, batch=batch), ListedDevice)
    return _in_order(ctx, found, ids)


async def _pages(ctx: Context, statement: Executable, parts: Sequence[TenantPart]) -> list[list[Any]]:
    """The rows of each part, behind the place of the part."""
    batch = as_batch(
        [
            {
                "place": place,
                "tenant_id": part.list.tenant_id,
                "status": part.list.status,
                "before_id": END if part.after is None else part.after[1],
            }
            for place, part in enumerate(parts)
            if sees(ctx, part.list.tenant_id)
        ]
    )
    found: list[list[Any]] = [[] for _ in parts]
    page_size = max(part.wanted for part in parts)
    async with ctx.read() as conn:
        for row in await conn.rows(statement, batch=batch, page_size=page_size, now=ctx.now()):
            found[row[0]].append(row)
    return [rows[: part.wanted] for part, rows in zip(parts, found, strict=True)]


async def _counts(ctx: Context, statement: Executable, lists: Sequence[TenantList]) -> list[Total]:
    batch = as_batch(
        [
            {"place": place, "tenant_id": one.tenant_id, "status": one.status, "before_id": END}
            for place, one in enumerate(lists)
            if sees(ctx, one.tenant_id)
        ]
    )
    async with ctx.read() as conn:
        totals: dict[int, int] = {
            row.place: row.total for row in await conn.rows(statement, batch=batch, now=ctx.now())
        }
    return [capped(totals.get(place, 0)) for place in range(len(lists))]


def _in_order(ctx: Context, found: Sequence[Row], ids: Sequence[int]) -> list[Row | None]:
    by_id = {one.id: one for one in found if sees_named(ctx, one.tenant_slug)}
    return [by_id.get(row_id) for row_id in ids]
