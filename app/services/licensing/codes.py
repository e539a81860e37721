"""Making activation codes, and revoking one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import typed_text
from app.context import Context
from app.database.connections import WriteConnection
from app.errors import CodeNotFoundError, ValidationError
from app.events import Event, EventType, record
from app.services.directory.lookup import Tenant, find_tenant, keep_tenant
from app.services.licensing import code_text
from sql.lists import code_list
from sql.statements import licensing

MAX_CODES = 100
MAX_DAYS = 3650
MAX_USES = 1_000_000
MAX_LABEL = 255
AUTOMATIC_LABEL = "Created automatically with the tenant"


@dataclass(frozen=True, slots=True)
class RevokedCode:
    """A code that was revoked, now or before."""

    id: int
    hint: str
    revoked_at: datetime


async def generate_codes(
    ctx: Context,
    tenant_slug: str,
    *,
    count: int = 1,
    ttl_days: int | None = None,
    label: str | None = None,
    max_uses: int = 1,
) -> list[str]:
    """Make codes and answer them in clear, the only time; ``ttl_days`` None or 0 means they never expire.

    Raises ValidationError naming the wrong field, TenantNotFoundError.
    """
    _check_range("count", count, 1, MAX_CODES)
    _check_range("ttl_days", ttl_days or 1, 1, MAX_DAYS)
    _check_range("max_uses", max_uses, 1, MAX_USES)
    if len(label or "") > MAX_LABEL:
        raise ValidationError.of("label", f"must have at most {MAX_LABEL} characters", kind="string_too_long")
    if label and (fault := typed_text.fault_of_name(label)) is not None:
        raise ValidationError.of("label", fault, kind="name")
    async with ctx.write() as conn:
        tenant = await keep_tenant(conn, tenant_slug)
        codes, rows = code_rows(ctx, tenant, count, ttl_days=ttl_days, label=label, max_uses=max_uses)
        metadata = {"code_count": count, "max_uses": max_uses, "ttl_days": ttl_days, "label": label}
        await store_codes(conn, ctx, tenant, rows, metadata)
    return codes


def code_rows(
    ctx: Context,
    tenant: Tenant,
    count: int,
    *,
    ttl_days: int | None = None,
    label: str | None = None,
    max_uses: int = 1,
) -> tuple[list[str], list[dict[str, Any]]]:
    """New codes in clear, and beside them the rows to store, which hold only their hashes."""
    now = ctx.now()
    codes = [code_text.new_code() for _ in range(count)]
    rows = [
        {
            "tenant_id": tenant.id,
            "code_hash": ctx.runtime.keys.code_hash(code),
            "hint": code_text.hint(code),
            "label": label,
            "max_uses": max_uses,
            "expires_at": now + timedelta(days=ttl_days) if ttl_days else None,
            "created_at": now,
        }
        for code in codes
    ]
    return codes, rows


async def store_codes(
    conn: WriteConnection, ctx: Context, tenant: Tenant, rows: Sequence[dict[str, Any]], metadata: dict[str, Any]
) -> list[int]:
    """Store codes and record one event for all of them, in the caller's transaction; answers their ids."""
    ids = [row.id for row in await conn.insert_all(licensing.insert_codes, rows)]
    event = Event(
        EventType.CODE_GENERATED,
        f"{len(rows)} activation code{'s' if len(rows) > 1 else ''} generated for {tenant.name}",
        tenant_id=tenant.id,
        code_id=min(ids),
        metadata=metadata,
    )
    await record(conn, ctx, event)
    return ids


async def revoke_code(ctx: Context, tenant_slug: str, *, code_id: int | None = None, code: str = "") -> RevokedCode:
    """Revoke a code, named by its id or its text; devices it has bound cannot activate with it again.

    Revoking it once more changes nothing. Raises TenantNotFoundError or CodeNotFoundError.
    """
    async with ctx.write() as conn:
        tenant = await find_tenant(conn, tenant_slug)
        if code_id is None and (normalized := code_text.normalize(code)):
            code_hash = ctx.runtime.keys.code_hash(normalized)
            code_id = await conn.maybe(licensing.code_by_hash, int, tenant_id=tenant.id, code_hash=code_hash)
        return await _revoke(conn, ctx, tenant, code_id)


async def revoke_code_by_id(ctx: Context, code_id: int) -> RevokedCode:
    """Revoke the code of any tenant; raises CodeNotFoundError."""
    async with ctx.write() as conn:
        slug = await conn.maybe(code_list.slug_of_code, str, code_id=code_id)
        if slug is None:
            raise CodeNotFoundError
        return await _revoke(conn, ctx, await find_tenant(conn, slug), code_id)


async def _revoke(conn: WriteConnection, ctx: Context, tenant: Tenant, code_id: int | None) -> RevokedCode:
    if code_id is None:
        raise CodeNotFoundError
    now = ctx.now()
    revoked = await conn.maybe(licensing.revoke_code, RevokedCode, of_tenant_id=tenant.id, code_id=code_id, now=now)
    if revoked is None:
        raise CodeNotFoundError
    if revoked.revoked_at == now:
        title = f"Code …{revoked.hint} of {tenant.name} revoked"
        await record(conn, ctx, Event(EventType.CODE_REVOKED, title, tenant_id=tenant.id, code_id=revoked.id))
    return revoked


def _check_range(field: str, value: int, minimum: int, maximum: int) -> None:
    if not minimum <= value <= maximum:
        raise ValidationError.of(field, f"must be from {minimum} to {maximum}", kind="out_of_range")
