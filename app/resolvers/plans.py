"""Plans, and the subscriptions of tenants to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ariadne import MutationType, ObjectType, QueryType

from app.cursors import cursor_of
from app.money import to_usd
from app.resolvers.connections import Connection, Slice
from app.resolvers.context import Info
from app.resolvers.inputs import read_changes, row_id
from app.resolvers.problems import Payload, changing
from app.services.billing import plans as catalogue
from app.services.billing.of_tenants import TenantSubscription
from app.services.billing.plan_fields import PlanCreate, PlanUpdate
from app.services.billing.plans import Plan
from app.services.tenants.details import TenantDetails

query = QueryType()
mutation = MutationType()
plan = ObjectType("Plan")
subscription = ObjectType("TenantSubscription")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPayload(Payload):
    """A plan after a change."""

    plan: Plan | None = None


def by_quota(row: Plan) -> str:
    """The cursor of a plan in the list by quota."""
    return cursor_of((row.monthly_run_quota, row.id))


@query.field("plans")
async def resolve_plans(_: Any, info: Info, *, first: int, after: str | None) -> Connection[Plan]:
    """A page of plans, the smallest quota first."""
    asked = Slice.asked(first, after)
    page = await catalogue.plan_page(info.context.ctx, page_size=asked.wanted, after=asked.place)
    return asked.connection(page.rows, by_quota, page.total)


@query.field("plan")
async def resolve_plan(_: Any, info: Info, *, id: str) -> Plan | None:  # noqa: A002 - the argument's name
    """One plan."""
    return await info.context.loaders.licensing.plans.load(row_id(id))


@plan.field("monthlyLlmBudget")
def resolve_monthly_llm_budget(of: Plan, info: Info) -> float | None:
    """The budget in USD."""
    return None if of.monthly_llm_budget is None else to_usd(of.monthly_llm_budget)


@subscription.field("plan")
async def resolve_plan_of_subscription(of: TenantSubscription, info: Info) -> Plan | None:
    """What it is a subscription to."""
    return await info.context.loaders.licensing.plans.load(of.plan_id)


@subscription.field("tenant")
async def resolve_tenant(of: TenantSubscription, info: Info) -> TenantDetails | None:
    """Whose it is."""
    return await info.context.loaders.licensing.tenants.load(of.tenant_slug)


@mutation.field("createPlan")
@changing(PlanPayload)
async def resolve_create_plan(_: Any, info: Info, *, input: dict[str, Any]) -> PlanPayload:  # noqa: A002 - the argument's name
    """Offer a new plan."""
    wanted = read_changes(input, PlanCreate)
    return PlanPayload(plan=await catalogue.create_plan(info.context.ctx, **wanted.columns()))


@mutation.field("updatePlan")
@changing(PlanPayload)
async def resolve_update_plan(_: Any, info: Info, *, input: dict[str, Any]) -> PlanPayload:  # noqa: A002 - the argument's name
    """Change a plan."""
    wanted = read_changes({name: value for name, value in input.items() if name != "id"}, PlanUpdate)
    return PlanPayload(plan=await catalogue.update_plan(info.context.ctx, row_id(input["id"]), wanted.changes()))
