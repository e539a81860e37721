"""The fields of a tenant as requests bring them, from operators and from the tenant itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from app.contract.fields import IS_NAME, CamelChanges, CamelRequest, blank_is_null, trimmed, typed_slug
from app.services.directory.rules import MAX_SLUG, MIN_SLUG, SLUG, is_color, is_email, is_slug, is_url
from sql.bounds import MAX_FIGURE, NO_NUL


def _checked(is_good: Callable[[str], bool], message: str) -> AfterValidator:
    def check(value: str | None) -> str | None:
        if value is not None and not is_good(value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


DeliveryMethod = Annotated[
    Literal["email", "sms", "whatsapp", "both"],
    BeforeValidator(trimmed),
    Field(description="How one-time passwords are sent: email, sms, whatsapp, or both: by mail and as SMS."),
]
PlanName = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL, description="The plan's name.")]
# A form sends back what it was answered: 0 without a subscription, millions with a large plan.
Quota = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="Accepted and ignored: the plan or the override decides.")
]
MaxDevicesOverride = Annotated[
    Annotated[int, Field(ge=0, le=MAX_FIGURE)] | None,
    Field(description="Devices at once for this subscription; null: as many as the plan says."),
]
RunQuotaOverride = Annotated[
    Annotated[int, Field(ge=0, le=MAX_FIGURE)] | None,
    Field(description="Runs a month for this subscription; null: as many as the plan says."),
]
OF_SUBSCRIPTION = ("max_devices_override", "monthly_run_quota_override")
Text500 = Annotated[str, Field(max_length=500, pattern=NO_NUL)]
Text255 = Annotated[str, Field(max_length=255, pattern=NO_NUL), IS_NAME]
Text50 = Annotated[str, Field(max_length=50, pattern=NO_NUL), IS_NAME]
Text7 = Annotated[str, Field(max_length=7, pattern=NO_NUL)]
CLEARED = "Null or blank clears it."
Name = Annotated[str, BeforeValidator(trimmed), Field(min_length=1, max_length=255, pattern=NO_NUL), IS_NAME]
Slug = Annotated[
    str,
    BeforeValidator(typed_slug),
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


class TenantCreate(CamelRequest):
    """A new tenant."""

    name: Name
    slug: Slug
    logo_url: LogoUrl = None
    primary_color: PrimaryColor = None
    domain: Domain = None
    email: Email = None
    phone_number: PhoneNumber = None
    otp_delivery_method: DeliveryMethod | None = "email"
    usage_quota: Quota = 10
    subscription_plan: PlanName
    plan_id: Annotated[int | None, Field(description="Accepted and ignored: the plan is named.")] = None

    @field_validator("otp_delivery_method", mode="before")
    @classmethod
    def _blank_is_the_default(cls, value: object) -> object:
        return "email" if value in (None, "") else value

    def columns(self) -> dict[str, Any]:
        """What is stored of the tenant itself."""
        return {name: getattr(self, name) for name in (*ProfileUpdate.model_fields, "slug", "otp_delivery_method")}


class TenantUpdate(ProfileUpdate):
    """What an operator may change of a tenant; what is absent stays as it is."""

    otp_delivery_method: DeliveryMethod = "email"
    usage_quota: Quota = 10
    subscription_plan: PlanName = ""
    max_devices_override: MaxDevicesOverride = None
    monthly_run_quota_override: RunQuotaOverride = None

    def changes(self) -> dict[str, Any]:
        """What changes of the tenant itself: plan and overrides are its subscription's, and the quota follows."""
        others = {"usage_quota", "subscription_plan", *OF_SUBSCRIPTION}
        return {name: value for name, value in super().changes().items() if name not in others}

    def overrides(self) -> dict[str, int | None]:
        """The subscription's own figures that were sent."""
        return {name: value for name, value in super().changes().items() if name in OF_SUBSCRIPTION}
