"""Plans: what tenants can subscribe to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError

from app import typed_text
from app.context import Context
from app.cursors import Place
from app.database.connections import ReadConnection
from app.database.failures import violated_constraint
from app.errors import (
    PlanConflictError,
    PlanIdNotFoundError,
    PlanNameConflictError,
    PlanNameNotFoundError,
    ValidationError,
)
from app.events import Event, EventType, record
from app.services.figures.totals import Page, Total, read_page
from sql.bounds import MAX_FIGURE
from sql.statements import billing

MAX_RUNS = MAX_FIGURE


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan; ``max_devices`` None means no limit, quotas count runs a month.

    ``monthly_llm_budget`` is what a tenant's model calls may cost a month, in 1e-9 USD; None means no limit. With
    ``tenant_may_void`` the tenant's own programs may void usage events.
    ``device_idle_days`` without a sign of life end a device's hold on its seat; None means never.
    ``tenant_may_revoke`` lets its tenants revoke their devices by themselves.
    ``device_moves_per_day`` bounds how often a device may be activated anew on one day; None means no bound.
    """

    id: int
    name: str
    stripe_price_id: str
    monthly_run_quota: int
    max_devices: int | None
    monthly_llm_budget: int | None
    tenant_may_void: bool
    device_idle_days: int | None
    tenant_may_revoke: bool
    device_moves_per_day: int | None
    created_at: datetime
    updated_at: datetime


async def find_plan(conn: ReadConnection, name: str) -> Plan:
    """The plan with this name, whatever blanks stand around it; raises PlanNameNotFoundError."""
    name = typed_text.stripped(name)
    if (plan := await conn.maybe(billing.plan_by_name, Plan, name=name)) is None:
        raise PlanNameNotFoundError(plan=name)
    return plan


async def ensure_plan(
    ctx: Context, *, name: str, price_id: str, quota: int, max_devices: int | None = None
) -> tuple[Plan, str]:
    """Create the plan, or give it these figures; beside it ``created``, ``updated`` or ``unchanged``.

    Blanks around the name and the price are no part of them. Raises ValidationError, or PlanConflictError when another
    plan has the price.
    """
    name, price_id = typed_text.stripped(name), price_id.strip()
    _check(name, price_id, quota, max_devices)
    figures = {"stripe_price_id": price_id, "monthly_run_quota": quota, "max_devices": max_devices}
    try:
        return await _seed(ctx, name, figures)
    except IntegrityError as failure:
        if violated_constraint(failure) not in {"uq_plans_name", "uq_plans_stripe_price_id"}:
            raise
    # Another process has created the plan at the same moment: now there is one to give these figures.
    try:
        return await _seed(ctx, name, figures)
    except IntegrityError as failure:
        raise _conflict(failure, {"name": name, **figures}) from None


async def _seed(ctx: Context, name: str, figures: dict[str, Any]) -> tuple[Plan, str]:
    now = ctx.now()
    async with ctx.write() as conn:
        plan = await conn.maybe(billing.plan_by_name, Plan, name=name)
        if plan is None:
            plan_id = await conn.one(billing.insert_plan, int, name=name, **figures, created_at=now, updated_at=now)
            await record(conn, ctx, Event(EventType.PLAN_CREATED, f"Plan {name} created", metadata=figures))
            unset: dict[str, Any] = {
                "monthly_llm_budget": None,
                "tenant_may_void": False,
                "device_idle_days": None,
                "tenant_may_revoke": False,
                "device_moves_per_day": None,
            }
            return Plan(plan_id, name, created_at=now, updated_at=now, **unset, **figures), "created"
        if all(getattr(plan, figure) == value for figure, value in figures.items()):
            return plan, "unchanged"
        await conn.affected(billing.set_plan, of_id=plan.id, **figures, updated_at=now)
        await record(conn, ctx, Event(EventType.PLAN_UPDATED, f"Plan {name} updated", metadata=figures))
        return replace(plan, **figures, updated_at=now), "updated"


async def list_plans(ctx: Context) -> list[Plan]:
    """All plans, the smallest quota first."""
    async with ctx.read() as conn:
        return await conn.many(billing.plans_by_quota, Plan)


async def plan_page(ctx: Context, *, page_size: int, after: Place | None = None) -> Page[Plan]:
    """Some plans, the smallest quota first, behind a place by quota and id."""
    quota, plan_id = after or (-1, 0)
    values = {"page_size": page_size, "cursor_quota": quota, "cursor_id": plan_id}
    async with ctx.read() as conn:
        rows, total = read_page(await conn.rows(billing.plan_page, **values), Plan)
    return Page(rows, Total(total))


async def create_plan(
    ctx: Context,
    *,
    name: str,
    stripe_price_id: str,
    monthly_run_quota: int,
    max_devices: int | None = None,
    monthly_llm_budget: int | None = None,
    tenant_may_void: bool = False,
    device_idle_days: int | None = None,
    tenant_may_revoke: bool = False,
    device_moves_per_day: int | None = None,
) -> Plan:
    """Create a plan; raises PlanNameConflictError or PlanConflictError when another one has the name or price."""
    now = ctx.now()
    row: dict[str, Any] = {
        "name": name,
        "stripe_price_id": stripe_price_id,
        "monthly_run_quota": monthly_run_quota,
        "max_devices": max_devices,
        "monthly_llm_budget": monthly_llm_budget,
        "tenant_may_void": tenant_may_void,
        "device_idle_days": device_idle_days,
        "tenant_may_revoke": tenant_may_revoke,
        "device_moves_per_day": device_moves_per_day,
    }
    try:
        async with ctx.write() as conn:
            plan_id = await conn.one(billing.insert_plan, int, **row, created_at=now, updated_at=now)
            metadata = {"plan_id": plan_id, **row}
            await record(conn, ctx, Event(EventType.PLAN_CREATED, f"Plan {name} created", metadata=metadata))
    except IntegrityError as failure:
        raise _conflict(failure, row) from None
    return Plan(plan_id, created_at=now, updated_at=now, **row)


async def update_plan(ctx: Context, plan_id: int, changes: Mapping[str, Any]) -> Plan:
    """Set these columns of a plan; they apply to its tenants at once.

    Raises PlanIdNotFoundError, PlanNameConflictError, PlanConflictError.
    """
    now = ctx.now()
    try:
        async with ctx.write() as conn:
            if (plan := await conn.maybe(billing.plan_by_id_locked, Plan, plan_id=plan_id)) is None:
                raise PlanIdNotFoundError(plan_id=plan_id)
            new_values = {name: value for name, value in changes.items() if value != getattr(plan, name)}
            if not new_values:
                return plan
            differences = {name: {"from": getattr(plan, name), "to": value} for name, value in new_values.items()}
            await conn.affected(billing.set_plan, of_id=plan_id, **new_values, updated_at=now)
            metadata = {"plan_id": plan_id, "changes": differences}
            await record(conn, ctx, Event(EventType.PLAN_UPDATED, f"Plan {plan.name} updated", metadata=metadata))
    except IntegrityError as failure:
        raise _conflict(failure, changes) from None
    return replace(plan, **new_values, updated_at=now)


def _conflict(failure: IntegrityError, row: Mapping[str, Any]) -> Exception:
    """The conflict with the plan that has the name or the price already, or the failure as it was."""
    violated = violated_constraint(failure)
    if violated == "uq_plans_name":
        return PlanNameConflictError(name=row.get("name"))
    if violated == "uq_plans_stripe_price_id":
        return PlanConflictError(price_id=row.get("stripe_price_id"))
    return failure


def _check(name: str, price_id: str, quota: int, max_devices: int | None) -> None:
    for field, good, message in (
        ("name", 1 <= len(name) <= 100, "must have 1 to 100 characters"),
        ("price_id", 1 <= len(price_id) <= 255, "must have 1 to 255 characters"),
        ("quota", 0 <= quota <= MAX_RUNS, f"must be from 0 to {MAX_RUNS}"),
        ("max_devices", max_devices is None or 0 <= max_devices <= MAX_RUNS, f"must be from 0 to {MAX_RUNS}"),
    ):
        if not good:
            raise ValidationError.of(field, message, kind="out_of_range")
    if (fault := typed_text.fault_of_name(name)) is not None:
        raise ValidationError.of("name", fault, kind="name")
