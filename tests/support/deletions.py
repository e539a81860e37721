"""Deletions of tenants, worked off as the durable engine does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, func, insert, select, update
from support.live import LiveServer
from support.rows import change, rows

from app.services.tenants.deletion import OWNED_TABLES, remove_tenant
from sql.tables import (
    activation_codes,
    agent_settings,
    contact_changes,
    deliveries,
    devices,
    llm_alerts,
    metadata,
    model_answers,
    otp_challenges,
    projects,
    refresh_families,
    setting_changes,
    tenant_deletions,
    tenant_sessions,
    tenant_sign_in_links,
    tenants,
    usage_events,
)
from sql.tables.llm import AGENT_TYPES

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
SECOND = datetime(2025, 1, 1, 0, 0, 1, tzinfo=UTC)


async def remove_all(live: LiveServer) -> list[object]:
    """Do the errands of all deletions that have not finished; how each ended."""
    unfinished = select(tenant_deletions.c.id).where(tenant_deletions.c.finished_at.is_(None))
    ids = await rows(live, unfinished.order_by(tenant_deletions.c.id))
    return [(await remove_tenant(live.ctx, row.id))["state"] for row in ids]


async def deletion_of(live: LiveServer, tenant_id: int) -> Any:
    """The row of a tenant's deletion."""
    (row,) = await rows(live, select(tenant_deletions).where(tenant_deletions.c.tenant_id == tenant_id))
    return row


async def left_of(live: LiveServer, tenant_id: int) -> dict[str, int]:
    """How many rows of the tenant are left, by table, where any are; its projects' among them."""
    left = {}
    own = select(projects.c.project_id).where(projects.c.tenant_id == tenant_id)
    for name in (*OWNED_TABLES, "subscriptions", "tenants"):
        table = metadata.tables[name]
        if name == "tenants":
            condition = table.c.id == tenant_id
        elif "tenant_id" in table.c:
            condition = table.c.tenant_id == tenant_id
        elif "project_id" in table.c:
            condition = table.c.project_id.in_(own)
        else:
            continue
        ((number,),) = await rows(live, select(func.count()).select_from(table).where(condition))
        if number:
            left[name] = number
    return left


async def furnish(live: LiveServer, tenant_id: int, *, each: int = 1, mark: str = "") -> dict[str, int]:
    """Give a tenant so many rows of every kind, behind the portal's back; answers how many of each.

    ``mark`` is in every text of them.
    """
    numbers = range(each)
    (tenant,) = await rows(live, select(tenants.c.slug).where(tenants.c.id == tenant_id))
    own = {"tenant_id": tenant_id}
    project_ids = [f"{mark}project-{tenant_id}-{number}" for number in numbers]
    stamps = {"created_at": LONG_AGO, "updated_at": LONG_AGO}
    made: dict[Table, list[dict[str, Any]]] = {
        activation_codes: [
            {
                **own,
                "code_hash": f"{tenant_id}-{number}".encode(),
                "hint": "HIDE",
                "label": f"{mark}code",
                "created_at": LONG_AGO,
            }
            for number in numbers
        ],
        devices: [
            {
                **own,
                "hw_fingerprint": f"{mark}{number}",
                "label": f"{mark}device",
                "last_seen": LONG_AGO,
                "created_at": LONG_AGO,
            }
            for number in numbers
        ],
        usage_events: [
            {
                **own,
                "event_id": f"{mark}{number}",
                "kind": f"{mark}run"[:50] if mark else "run",
                "quantity": 1,
                "at": LONG_AGO,
                "day": LONG_AGO.date(),
                "received_at": LONG_AGO,
            }
            for number in numbers
        ],
        tenant_sessions: [
            {
                **own,
                "token_hash": f"{tenant_id}-{number}".encode(),
                "last_activity": LONG_AGO,
                "expires_at": LONG_AGO,
                "created_at": LONG_AGO,
            }
            for number in numbers
        ],
        otp_challenges: [{**own, "code_hash": b"c", "expires_at": LONG_AGO, "created_at": LONG_AGO}],
        tenant_sign_in_links: [
            {**own, "token_hash": f"{tenant_id}".encode(), "expires_at": LONG_AGO, "created_at": LONG_AGO}
        ],
        contact_changes: [
            {
                **own,
                "changes": "{}",
                "previous": "{}",
                "state": "made",
                "requested_by": f"{mark}it",
                "created_at": LONG_AGO,
                "expires_at": LONG_AGO,
            }
        ],
        deliveries: [
            {"kind": "welcome", "tenant_slug": tenant.slug, "state": "sent", "created_at": LONG_AGO} for _ in numbers
        ],
        projects: [
            {**own, "project_id": project_id, "name": f"{mark}project", "created_by": f"{mark}it", **stamps}
            for project_id in project_ids
        ],
        agent_settings: [
            {"project_id": project_id, "agent_type": agent, "custom_prompt": f"{mark}prompt", **stamps}
            for project_id in project_ids
            for agent in AGENT_TYPES[:2]
        ],
        setting_changes: [
            {
                "scope": "project",
                "project_id": project_id,
                "field": f"{mark}model"[:50],
                "old_value": "null",
                "new_value": f'"{mark}new"',
                "version": 2,
                "actor_type": "operator",
                "actor_name": f"{mark}it",
                "changed_at": LONG_AGO,
            }
            for project_id in project_ids
        ],
        llm_alerts: [
            {
                **own,
                "key": f"{mark}{project_id}",
                "type": "budget",
                "level": "warning",
                "message": f"{mark}alert",
                "details": "{}",
                "project_id": project_id,
                "created_at": LONG_AGO,
            }
            for project_id in project_ids
        ],
    }
    made[model_answers] = [
        {
            **own,
            "key_hash": f"{mark}{project_id}".encode(),
            "project_id": project_id,
            "text": f"{mark}answer",
            "answered_at": LONG_AGO,
            "reason": f"{mark}reason",
        }
        for project_id in project_ids
    ]
    if await rows(live, select(otp_challenges).where(otp_challenges.c.tenant_id == tenant_id)):
        del made[otp_challenges]
    async with live.ctx.write() as conn:
        for table, values in made.items():
            await conn.insert_all(insert(table), values)
        (first,) = await conn.many(select(func.min(devices.c.id)).where(devices.c.tenant_id == tenant_id), int)
        families = [
            {
                **own,
                "id": f"{tenant_id}-{number}",
                "device_id": first,
                "token_hash": b"t",
                "expires_at": LONG_AGO,
                "created_at": LONG_AGO,
            }
            for number in numbers
        ]
        await conn.insert_all(insert(refresh_families), families)
        (code,) = await conn.many(
            select(func.min(activation_codes.c.id)).where(activation_codes.c.tenant_id == tenant_id), int
        )
    for table in (devices, projects):
        await change(live, update(table).where(table.c.tenant_id == tenant_id).values(activation_code_id=code))
    return {table.name: len(values) for table, values in made.items()} | {"refresh_families": each}
