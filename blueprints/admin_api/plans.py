"""Plans: what tenants can subscribe to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import AS_NAMED, CAMEL
from app.money import Nanos, to_nanos
from app.services.billing import plans as catalogue
from app.services.billing.plans import MAX_RUNS, Plan
from app.services.llm.setting_values import Usd
from blueprints.admin_api import api
from blueprints.web.fields import NO_NUL, CamelChanges, CamelRequest, trimmed

PlanName = Annotated[str, BeforeValidator(trimmed), Field(min_length=1, max_length=100, pattern=NO_NUL)]
PriceId = Annotated[
    str,
    BeforeValidator(trimmed),
    Field(min_length=1, max_length=255, pattern=NO_NUL, description="The price at Stripe; each plan has its own."),
]
RunQuota = Annotated[int, Field(ge=0, le=MAX_RUNS, description="Runs a month.")]
MaxDevices = Annotated[
    Annotated[int, Field(ge=0, le=MAX_RUNS)] | None, Field(description="Devices at once; null is no limit.")
]
MonthlyBudget = Annotated[
    Usd | None, Field(description="What a tenant's model calls may cost a month, in USD; null: no limit of the plan's.")
]
CONFLICTS = (errors.PlanConflictError, errors.PlanNameConflictError)


class PlanCreate(CamelRequest):
    """A new plan."""

    name: PlanName
    stripe_price_id: PriceId
    monthly_run_quota: RunQuota
    max_devices: MaxDevices = None
    monthly_llm_budget: MonthlyBudget = None


class PlanUpdate(CamelChanges):
    """What changes of a plan; what is absent stays as it is."""

    name: PlanName = ""
    stripe_price_id: PriceId = ""
    monthly_run_quota: RunQuota = 0
    max_devices: MaxDevices = None
    monthly_llm_budget: MonthlyBudget = None

    def changes(self) -> dict[str, Any]:
        """The members that were sent, the budget in 1e-9 USD."""
        sent = super().changes()
        return sent | {"monthly_llm_budget": _stored(self.monthly_llm_budget)} if "monthly_llm_budget" in sent else sent


def _stored(usd: float | None) -> int | None:
    return None if usd is None else to_nanos(Decimal(str(usd)))


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
    plan = await catalogue.create_plan(
        ctx,
        name=body.name,
        stripe_price_id=body.stripe_price_id,
        monthly_run_quota=body.monthly_run_quota,
        max_devices=body.max_devices,
        monthly_llm_budget=_stored(body.monthly_llm_budget),
    )
    return PlanAnswer.of(plan)


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
