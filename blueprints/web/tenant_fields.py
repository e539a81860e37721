"""The fields of a tenant as requests bring them and answers show them, for operators and for the tenant itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field

from app.contract.camel import CAMEL
from app.services.directory.rules import MAX_SLUG, MIN_SLUG, SLUG, is_color, is_email, is_slug, is_url
from app.services.tenants.details import TenantDetails
from blueprints.web.fields import NO_NUL, CamelChanges, blank_is_null, trimmed


def _checked(is_good: Callable[[str], bool], message: str) -> AfterValidator:
    def check(value: str | None) -> str | None:
        if value is not None and not is_good(value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


Text500 = Annotated[str, Field(max_length=500, pattern=NO_NUL)]
Text255 = Annotated[str, Field(max_length=255, pattern=NO_NUL)]
Text50 = Annotated[str, Field(max_length=50, pattern=NO_NUL)]
Text7 = Annotated[str, Field(max_length=7, pattern=NO_NUL)]
CLEARED = "Null or blank clears it."
Name = Annotated[str, BeforeValidator(trimmed), Field(min_length=1, max_length=255, pattern=NO_NUL)]
Slug = Annotated[
    str,
    Field(
        min_length=MIN_SLUG,
        max_length=MAX_SLUG,
        json_schema_extra={"pattern": SLUG},
        description="Lowercase letters or digits in words joined by single hyphens; it never changes.",
    ),
    _checked(is_slug, "must be lowercase letters or digits in words joined by single hyphens"),
]
LogoUrl = Annotated[
    Text500 | None,
    BeforeValidator(blank_is_null),
    _checked(is_url, "is not an absolute http or https address"),
    Field(description=f"An absolute http or https address. {CLEARED}"),
]
PrimaryColor = Annotated[
    Text7 | None,
    BeforeValidator(blank_is_null),
    _checked(is_color, "is not a colour such as #0a5 or #00aa55"),
    Field(description=f"`#rgb` or `#rrggbb`. {CLEARED}"),
]
Domain = Annotated[Text255 | None, BeforeValidator(blank_is_null), Field(description=f"A domain. {CLEARED}")]
Email = Annotated[
    Text255 | None,
    BeforeValidator(blank_is_null),
    _checked(is_email, "is not an e-mail address"),
    Field(description=f"Where one-time passwords go. {CLEARED}"),
]
PhoneNumber = Annotated[
    Text50 | None, BeforeValidator(blank_is_null), Field(description=f"A telephone number. {CLEARED}")
]


class ProfileUpdate(CamelChanges):
    """What a tenant may change of itself; what is absent stays as it is."""

    name: Name = ""
    logo_url: LogoUrl = None
    primary_color: PrimaryColor = None
    domain: Domain = None
    email: Email = None
    phone_number: PhoneNumber = None


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
