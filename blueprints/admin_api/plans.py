"""Plans: what tenants can subscribe to."""

from __future__ import annotations

from dataclasses import dataclass

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import AS_NAMED, CAMEL
from app.money import Nanos
from app.services.billing import plans as catalogue
from app.services.billing.plan_fields import PlanCreate, PlanUpdate
from app.services.billing.plans import Plan
from blueprints.admin_api import api

CONFLICTS = (errors.PlanConflictError, errors.PlanNameConflictError)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswer:
    """A plan."""

    __pydantic_config__ = CAMEL
    id: int
    name: str
    stripe_price_id: str
    monthly_run_quota: int
    max_devices: int | None
    monthly_llm_budget: Nanos | None
    tenant_may_void: bool
    device_idle_days: int | None
    tenant_may_revoke: bool
    device_moves_per_day: int | None

    @classmethod
    def of(cls, plan: Plan) -> PlanAnswer:
        """The answer about a plan."""
        return cls(
            id=plan.id,
            name=plan.name,
            stripe_price_id=plan.stripe_price_id,
            monthly_run_quota=plan.monthly_run_quota,
            max_devices=plan.max_devices,
            monthly_llm_budget=plan.monthly_llm_budget,
            tenant_may_void=plan.tenant_may_void,
            device_idle_days=plan.device_idle_days,
            tenant_may_revoke=plan.tenant_may_revoke,
            device_moves_per_day=plan.device_moves_per_day,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanList:
    """All plans."""

    __pydantic_config__ = AS_NAMED
    plans: list[PlanAnswer]


@api.operation("GET", "/plans", caller=operator(Permission.PLANS_READ), answers=PlanList)
async def plans(ctx: Context) -> PlanList:
    """All plans, the smallest quota first."""
    return PlanList(plans=[PlanAnswer.of(plan) for plan in await catalogue.list_plans(ctx)])


@api.operation(
    "POST",
    "/plans",
    caller=operator(Permission.PLANS_WRITE),
    status=201,
    body=PlanCreate,
    answers=PlanAnswer,
    errors=CONFLICTS,
    creates=True,
)
async def create_plan(ctx: Context, body: PlanCreate) -> PlanAnswer:
    """Offer a new plan."""
    return PlanAnswer.of(await catalogue.create_plan(ctx, **body.columns()))


@api.operation(
    "PUT",
    "/plans/{plan_id:int}",
    caller=operator(Permission.PLANS_WRITE),
    body=PlanUpdate,
    answers=PlanAnswer,
    errors=(errors.PlanIdNotFoundError, *CONFLICTS),
    path_parameters={"plan_id": "The plan's id."},
)
async def update_plan(ctx: Context, body: PlanUpdate, plan_id: int) -> PlanAnswer:
    """Change a plan for everybody who has it; what is absent stays as it is.

    A lower device limit takes no device away; it refuses new ones until there is room again.
    """
    return PlanAnswer.of(await catalogue.update_plan(ctx, plan_id, body.changes()))
