"""A tenant as answers show it, to operators and to the tenant itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from app.contract.camel import CAMEL
from app.services.tenants.details import TenantDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionAnswer:
    """The current subscription; both null without one."""

    __pydantic_config__ = CAMEL
    plan_name: str | None
    status: str | None


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
    usage_quota: Annotated[int, Field(description="The plan's runs a month; 0 without a subscription.")]
    usage_current: Annotated[int, Field(description="The quantity of kind `run` this month.")]
    activation_codes_total: Annotated[int, Field(description="Codes made this month.")]
    activation_codes_used: Annotated[int, Field(description="Of those, how many were used.")]
    created_at: datetime
    updated_at: datetime
    subscription: SubscriptionAnswer

    @classmethod
    def of(cls, tenant: TenantDetails, **more: Any) -> Self:
        """The answer about a tenant, with the members that an answer like it has besides."""
        members = tenant._asdict()
        subscription = SubscriptionAnswer(plan_name=members.pop("plan_name"), status=members.pop("subscription_state"))
        codes_total, codes_used = members.pop("codes_total"), members.pop("codes_used")
        return cls(
            **members,
            activation_codes_total=codes_total,
            activation_codes_used=codes_used,
            subscription=subscription,
            **more,
        )
