"""Deleting a tenant: it is hidden at once, and an errand removes what it has, piece by piece."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple, get_args

import orjson
import structlog
from sqlalchemy import Executable

from app.clock import held_at
from app.context import Context
from app.database.connections import WriteConnection
from app.errors import TenantNotFoundError
from app.events import Event, EventType, record
from app.jobs.work import Errand
from app.services.directory.lookup import Tenant, find_tenant
from sql.statements import tenant_deletions as statements
from sql.statements.tenant_deletions import OwnedTable

# The errand's name; with the row's id it is the id under which the engine knows it.
DELETION = "tenant-deletion"
# The errand that leaves the tenant's customer at Stripe without a living subscription; the row is the same.
DEPARTURE = "tenant-departure"
OWNED_TABLES: tuple[OwnedTable, ...] = get_args(OwnedTable)
# So many that a transaction of them takes a few hundredths of a second.
ROWS_AT_ONCE = 2000
# Seconds that a holder has for one piece; as long as a worker may be silent until it counts as dead.
HOLD_SECONDS = 20
# Seconds after which an errand leaves the rest to the next one, so that other deletions get on as well.
RUN_SECONDS = 60.0
# Seconds after which a deletion that nobody works on is put into the queue again; how many at a time.
MISSED_SECONDS = 20
SWEPT_AT_ONCE = 1000
HIDDEN_SLUG_BYTES = 24

_number_of = cache(statements.number_of)
_delete_some = cache(statements.delete_some)

log = structlog.get_logger(__name__)


class DeletionImpact(NamedTuple):
    """How many rows of a tenant are deleted with it; active codes can still be used."""

    codes: int
    active_codes: int
    revoked_codes: int
    devices: int
    revoked_devices: int
    subscriptions: int
    usage_events: int
    usage_rollups: int
    projects: int
    agents: int
    sessions: int


class _Hidden(NamedTuple):
    """The tenant that was hidden."""

    id: int
    name: str


class _Requested(NamedTuple):
    """The deletion that was requested, and the tenant's customer at Stripe, which it leaves."""

    id: int
    stripe_customer_id: str | None


class _Hold(NamedTuple):
    """A deletion that this process works on; ``found`` is JSON, None before its rows are counted."""

    id: int
    tenant_id: int
    slug: str
    requested_at: datetime
    attempts: int
    found: str | None

    @property
    def key(self) -> dict[str, int]:
        """What a statement compares, so that it changes nothing once another process has the hold."""
        return {"of_tenant_id": self.tenant_id, "of_attempts": self.attempts}


class _HoldLostError(Exception):
    """Another process works on the deletion: nothing of this transaction is committed."""


async def deletion_impact(ctx: Context, tenant_slug: str) -> tuple[Tenant, DeletionImpact]:
    """The tenant and what would be deleted with it; raises TenantNotFoundError."""
    async with ctx.read() as conn:
        tenant = await find_tenant(conn, tenant_slug)
        now = ctx.now()
        return tenant, await conn.one(statements.deletion_impact, DeletionImpact, tenant_id=tenant.id, now=now)


async def delete_tenant(ctx: Context, tenant_slug: str) -> None:
    """Hide the tenant for good and free its slug; an errand then removes what it has. Raises TenantNotFoundError.

    From this commit on nobody finds the tenant. The audit trail keeps its events, and a last one with its name. What
    the commit waits for are transactions that keep the tenant: activations and metering that are under way.
    """
    now = ctx.now()
    hidden_slug = f"deleted:{secrets.token_urlsafe(HIDDEN_SLUG_BYTES)}"
    async with ctx.write() as conn:
        # Under a slug that no request can name: every statement that looks a tenant up by its slug finds it no more.
        tenant = await conn.maybe(
            statements.hide_tenant, _Hidden, of_slug=tenant_slug, hidden_slug=hidden_slug, now=now
        )
        if tenant is None:
            raise TenantNotFoundError(slug=tenant_slug)
        row = {"tenant_id": tenant.id, "slug": tenant_slug, "name": tenant.name, "requested_by": ctx.actor.name}
        deletion = await conn.one(
            statements.insert_deletion, _Requested, **row, of_tenant_id=tenant.id, requested_at=now
        )
        await conn.affected(statements.delete_subscriptions, of_tenant_id=tenant.id)
        await conn.affected(statements.delete_challenge, of_tenant_id=tenant.id)
        await conn.affected(statements.delete_waiting_deliveries, of_slug=tenant_slug)
        metadata = {"name": tenant.name, "slug": tenant_slug, "deletion_id": deletion.id}
        title = f"Tenant {tenant.name} deleted"
        await record(conn, ctx, Event(EventType.TENANT_DELETED, title, tenant_id=tenant.id, metadata=metadata))
    ctx.runtime.enqueue(DELETION, deletion.id)
    if deletion.stripe_customer_id is not None:
        ctx.runtime.enqueue(DEPARTURE, deletion.id)


async def remove_tenant(ctx: Context, deletion_id: int) -> Mapping[str, object]:
    """Remove what a hidden tenant has, for about a minute, each piece in a transaction of its own.

    It goes on where another process has stopped. A deletion that another process works on, or that has ended, is left
    as it is.
    """
    now = ctx.now()
    async with ctx.write_autocommit() as conn:
        hold = await conn.maybe(statements.take_deletion, _Hold, of_id=deletion_id, **held_at(now), until=_until(ctx))
    if hold is None:
        return {"state": "held or finished"}
    try:
        if hold.found is None:
            await _count(ctx, hold)
        removed, is_finished = await _remove(ctx, hold, time.monotonic() + RUN_SECONDS)
    except _HoldLostError:
        return {"state": "lost"}
    state = "finished" if is_finished else "unfinished"
    log.info("tenant_rows_removed", deletion=hold.id, slug=hold.slug, rows=removed, state=state)
    return {"state": state, "removed": removed}


async def deletions_waiting(ctx: Context) -> list[int]:
    """The deletions that nobody works on, though somebody should by now."""
    now = ctx.now()
    before = now - timedelta(seconds=MISSED_SECONDS)
    async with ctx.read() as conn:
        return await conn.many(statements.deletions_waiting, int, **held_at(now), before=before, max_rows=SWEPT_AT_ONCE)


def _until(ctx: Context) -> datetime:
    return ctx.now() + timedelta(seconds=HOLD_SECONDS)


async def _count(ctx: Context, hold: _Hold) -> None:
    """Count what there is, table by table, because a statement may take only so long; and store it once."""
    found: dict[str, int] = {}
    async with ctx.read() as reader:
        for table in OWNED_TABLES:
            ((found[table],),) = await reader.rows(_number_of(table), **_owner(table, hold))
    async with ctx.write() as conn:
        await _change_held(conn, statements.store_found, hold, counts=orjson.dumps(found).decode(), until=_until(ctx))


async def _remove(ctx: Context, hold: _Hold, ends_at: float) -> tuple[int, bool]:
    """Remove piece after piece until nothing is left or it is time to stop; how many rows, and whether that was all."""
    removed = 0
    for table in OWNED_TABLES:
        while piece := await _remove_piece(ctx, hold, table):
            removed += piece
            if time.monotonic() >= ends_at:
                async with ctx.write() as conn:
                    await _change_held(conn, statements.release_deletion, hold)
                return removed, False
            if piece < ROWS_AT_ONCE:
                break
    async with ctx.write() as conn:
        await _change_held(conn, statements.finish_deletion, hold, now=ctx.now())
        await conn.affected(statements.delete_tenant, of_id=hold.tenant_id)
    return removed, True


async def _remove_piece(ctx: Context, hold: _Hold, table: OwnedTable) -> int:
    """Remove some rows of a table and add them to the progress, in one transaction; nothing where there are none."""
    async with ctx.write() as conn:
        piece = len(await conn.rows(_delete_some(table), **_owner(table, hold), max_rows=ROWS_AT_ONCE))
        if piece:
            await _change_held(conn, statements.add_removed, hold, count=piece, until=_until(ctx))
    return piece


async def _change_held(conn: WriteConnection, statement: Executable, hold: _Hold, **values: object) -> None:
    """Change the deletion as long as this process holds it; raises _HoldLostError."""
    if not await conn.affected(statement, **hold.key, **values):
        raise _HoldLostError


def _owner(table: OwnedTable, hold: _Hold) -> dict[str, object]:
    """What tells a tenant's rows from others: messages have its slug, and another tenant may have that by now."""
    if table == "deliveries":
        return {"of_slug": hold.slug, "requested_at": hold.requested_at}
    return {"of_tenant_id": hold.tenant_id}


DELETIONS = Errand(DELETION, remove_tenant, deletions_waiting, at_once=1)
