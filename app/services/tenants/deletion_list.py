"""The deletions of tenants, and how far each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import orjson

from app.clock import is_held
from app.context import Context
from app.errors import TenantDeletionNotFoundError
from app.services.figures.totals import Page, capped, read_page
from sql.statements import tenant_deletions as statements

Status = Literal["waiting", "running", "finished"]


class _StoredDeletion(NamedTuple):
    """A deletion as it is stored; ``found`` is JSON, None before the rows are counted."""

    id: int
    tenant_id: int
    slug: str
    name: str
    requested_by: str
    requested_at: datetime
    found: str | None
    removed: int
    held_until: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class TenantDeletion:
    """A deletion and its progress, in rows; ``found`` and ``expected`` are None before the rows are counted."""

    id: int
    tenant_id: int
    slug: str
    name: str
    requested_by: str
    requested_at: datetime
    status: Status
    found: dict[str, int] | None
    expected: int | None
    removed: int
    percent: int
    finished_at: datetime | None


async def list_deletions(ctx: Context, *, page: int = 1, page_size: int = 25) -> Page[TenantDeletion]:
    """A page of deletions, the newest first."""
    paging = {"page_size": page_size, "skip": (page - 1) * page_size}
    async with ctx.read() as conn:
        stored, total = read_page(await conn.rows(statements.deletion_page, **paging), _StoredDeletion)
    now = ctx.now()
    return Page([_deletion(each, now) for each in stored], capped(total))


async def find_deletion(ctx: Context, deletion_id: int) -> TenantDeletion:
    """The deletion with this id; raises TenantDeletionNotFoundError."""
    async with ctx.read() as conn:
        stored = await conn.maybe(statements.deletion_by_id, _StoredDeletion, deletion_id=deletion_id)
    if stored is None:
        raise TenantDeletionNotFoundError(deletion_id=deletion_id)
    return _deletion(stored, ctx.now())


def _deletion(stored: _StoredDeletion, now: datetime) -> TenantDeletion:
    found: dict[str, int] | None = None if stored.found is None else orjson.loads(stored.found)
    expected = None if found is None else sum(found.values())
    return TenantDeletion(
        id=stored.id,
        tenant_id=stored.tenant_id,
        slug=stored.slug,
        name=stored.name,
        requested_by=stored.requested_by,
        requested_at=stored.requested_at,
        status="finished" if stored.finished_at else "running" if is_held(stored.held_until, now) else "waiting",
        found=found,
        expected=expected,
        removed=stored.removed,
        percent=100 if stored.finished_at else _percent(stored.removed, expected),
        finished_at=stored.finished_at,
    )


def _percent(removed: int, expected: int | None) -> int:
    """The part that is removed, below a hundred: there may be rows that came after the count."""
    return min(99, removed * 100 // expected) if expected else 0
