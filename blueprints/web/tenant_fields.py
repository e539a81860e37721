"""A tenant as answers show it, to operators and to the tenant itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from app.contract.camel import CAMEL
from app.services.tenants.details import TenantDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedSubscription:
    """The current subscription, all null without one: what it grants, what is its own of that, and what its plan says.

    An override that is null leaves the plan's figure; devices without a number have no limit.
    """

    __pydantic_config__ = CAMEL
    plan_name: str | None
    status: str | None
    monthly_run_quota: int | None
    monthly_run_quota_override: int | None
    plan_monthly_run_quota: int | None
    max_devices: int | None
    max_devices_override: int | None
    plan_max_devices: int | None


_GRANTED = tuple(member.name for member in fields(GrantedSubscription) if member.name != "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantAnswer:
    """A tenant; usage and codes are those of the running month."""

    __pydantic_config__ = CAMEL
    id: int
    name: str
    slug: str
    logo_url: str | None
    primary_color: str | None
    domain: str | None
    email: str | None
    phone_number: str | None
    otp_delivery_method: Annotated[str, Field(description="How one-time passwords are sent.")]
    usage_quota: Annotated[int, Field(description="The subscription's runs a month; 0 without one.")]
    usage_current: Annotated[int, Field(description="The quantity of kind `run` this month.")]
    activation_codes_total: Annotated[int, Field(description="Codes made this month.")]
    activation_codes_used: Annotated[int, Field(description="Of those, how many were used.")]
    created_at: datetime
    updated_at: datetime
    subscription: GrantedSubscription

    @classmethod
    def of(cls, tenant: TenantDetails, **more: Any) -> Self:
        """The answer about a tenant, with the members that an answer like it has besides."""
        members = tenant._asdict()
        subscription = GrantedSubscription(
            status=members.pop("subscription_state"), **{name: members.pop(name) for name in _GRANTED}
        )
        codes_total, codes_used = members.pop("codes_total"), members.pop("codes_used")
        return cls(
            **members,
            activation_codes_total=codes_total,
            activation_codes_used=codes_used,
            subscription=subscription,
            **more,
        )
