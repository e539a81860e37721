"""What comes in and what goes out, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

TenantSlug = Annotated[str, Field(min_length=1, max_length=100)]
HardwareFingerprint = Annotated[str, Field(min_length=1, max_length=1024)]


class Activate(BaseModel):
    """A device that wants to be licensed."""

    tenant_slug: TenantSlug
    activation_code: Annotated[str, Field(min_length=1, max_length=100)]
    hw_fingerprint: HardwareFingerprint


class Refresh(BaseModel):
    """A device that wants new tokens."""

    tenant_slug: TenantSlug
    device_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    refresh_token: Annotated[str, Field(min_length=1, max_length=200)]


class Heartbeat(BaseModel):
    """A device that is alive."""

    hw_fingerprint: HardwareFingerprint


class Event(BaseModel):
    """One thing that was used."""

    id: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,49}$")]
    quantity: Annotated[int, Field(ge=1, le=10**12)]
    at: AwareDatetime | None = None
    metadata: dict[str, Any] | None = None


class Events(BaseModel):
    """A batch of usage events."""

    events: Annotated[list[Event], Field(min_length=1, max_length=1000)]


class TokenPair(BaseModel):
    """A device's tokens."""

    model_config = ConfigDict(from_attributes=True)

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int
    device_id: int


class Policy(BaseModel):
    """What a device may do."""

    plan_name: str | None
    monthly_run_quota: int
    subscription_state: str


class Acknowledged(BaseModel):
    """A heartbeat that was stored."""

    ok: bool = True


class Branding(BaseModel):
    """What a sign-in page may show."""

    model_config = ConfigDict(from_attributes=True)

    logo_url: str | None
    primary_color: str | None
    domain: str | None


class Outcome(BaseModel):
    """What became of one event."""

    id: str
    status: Literal["accepted", "duplicate", "rejected"]
    detail: str | None = None


class Report(BaseModel):
    """What became of a request's events."""

    accepted: int
    duplicate: int
    rejected: int
    events: list[Outcome]
