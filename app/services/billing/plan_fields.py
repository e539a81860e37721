"""The fields of a plan as requests bring them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app.contract.fields import IS_NAME, CamelChanges, CamelRequest, trimmed
from app.money import Usd, to_nanos
from app.services.billing.plans import MAX_RUNS
from sql.bounds import NO_NUL

PlanName = Annotated[str, BeforeValidator(trimmed), Field(min_length=1, max_length=100, pattern=NO_NUL), IS_NAME]
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
TenantMayVoid = Annotated[bool, Field(description="Whether the tenant's own programs may void usage events.")]

IdleDays = Annotated[
    Annotated[int, Field(ge=1, le=3650)] | None,
    Field(description="Days without a sign of life after which a device gives its seat back; null is never."),
]
MayRevoke = Annotated[bool, Field(description="Whether its tenants may revoke their devices by themselves.")]

MovesPerDay = Annotated[
    Annotated[int, Field(ge=1, le=MAX_RUNS)] | None,
    Field(description="How often a device may be activated anew on one day; null is no bound."),
]


class PlanCreate(CamelRequest):
    """A new plan."""

    name: PlanName
    stripe_price_id: PriceId
    monthly_run_quota: RunQuota
    max_devices: MaxDevices = None
    monthly_llm_budget: MonthlyBudget = None
    tenant_may_void: TenantMayVoid = False
    device_idle_days: IdleDays = None
    tenant_may_revoke: MayRevoke = False
    device_moves_per_day: MovesPerDay = None

    def columns(self) -> dict[str, Any]:
        """What is stored, the budget in 1e-9 USD."""
        columns = {name: getattr(self, name) for name in type(self).model_fields}
        return columns | {"monthly_llm_budget": _stored(self.monthly_llm_budget)}


class PlanUpdate(CamelChanges):
    """What changes of a plan; what is absent stays as it is."""

    name: PlanName = ""
    stripe_price_id: PriceId = ""
    monthly_run_quota: RunQuota = 0
    max_devices: MaxDevices = None
    monthly_llm_budget: MonthlyBudget = None
    tenant_may_void: TenantMayVoid = False
    device_idle_days: IdleDays = None
    tenant_may_revoke: MayRevoke = False
    device_moves_per_day: MovesPerDay = None

    def changes(self) -> dict[str, Any]:
        """The members that were sent, the budget in 1e-9 USD."""
        sent = super().changes()
        return sent | {"monthly_llm_budget": _stored(self.monthly_llm_budget)} if "monthly_llm_budget" in sent else sent


def _stored(usd: float | None) -> int | None:
    return None if usd is None else to_nanos(Decimal(str(usd)))
