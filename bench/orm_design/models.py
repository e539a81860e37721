"""The portal's tables as mapped classes, with the relationships that the endpoints load eagerly."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text, and_
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from sql.dialect import transaction_id
from sql.tables.columns import Id, Instant


class Base(DeclarativeBase):
    """Maps Python types to the column types of the migrated database."""

    type_annotation_map = {int: Id, datetime: Instant}  # noqa: RUF012 - the base class reads it so


class Plan(Base):
    """What a tenant can subscribe to."""

    __tablename__ = "plans"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stripe_price_id: Mapped[str]
    monthly_run_quota: Mapped[int]
    max_devices: Mapped[int | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Subscription(Base):
    """How a tenant holds a plan."""

    __tablename__ = "subscriptions"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    plan_id: Mapped[int] = mapped_column(ForeignKey("plans.id"))
    state: Mapped[str]
    seats_used: Mapped[int]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    grace_until: Mapped[datetime | None]
    stripe_customer_id: Mapped[str | None]
    stripe_subscription_id: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    plan: Mapped[Plan] = relationship()


class Tenant(Base):
    """A customer of the vendor."""

    __tablename__ = "tenants"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str]
    logo_url: Mapped[str | None]
    primary_color: Mapped[str | None]
    domain: Mapped[str | None]
    email: Mapped[str | None]
    phone_number: Mapped[str | None]
    otp_delivery_method: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    # The one that has not ended; the database holds that there is at most one.
    subscription: Mapped[Subscription | None] = relationship(
        primaryjoin=lambda: and_(Subscription.tenant_id == Tenant.id, Subscription.ended_at.is_(None)), viewonly=True
    )


class ActivationCode(Base):
    """A code that binds devices."""

    __tablename__ = "activation_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    code_hash: Mapped[bytes]
    hint: Mapped[str]
    label: Mapped[str | None]
    max_uses: Mapped[int]
    use_count: Mapped[int]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Device(Base):
    """A device in the field."""

    __tablename__ = "devices"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    hw_fingerprint: Mapped[str]
    label: Mapped[str | None]
    activation_code_id: Mapped[int | None] = mapped_column(ForeignKey("activation_codes.id"))
    is_revoked: Mapped[bool] = mapped_column(default=False)
    last_seen: Mapped[datetime]
    created_at: Mapped[datetime]

    tenant: Mapped[Tenant] = relationship()


class RefreshFamily(Base):
    """The refresh tokens that stem from one activation; the hash is of the one that may be used next."""

    __tablename__ = "refresh_families"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id"))
    token_hash: Mapped[bytes]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    device: Mapped[Device] = relationship()


class PlatformEvent(Base):
    """One row of the audit trail."""

    __tablename__ = "platform_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(BigInteger, default=transaction_id())
    event_type: Mapped[str]
    severity: Mapped[str]
    title: Mapped[str]
    actor_type: Mapped[str]
    actor_name: Mapped[str]
    tenant_id: Mapped[int | None]
    code_id: Mapped[int | None]
    device_id: Mapped[int | None]
    # The class has a member "metadata" of its own.
    details: Mapped[str] = mapped_column("metadata", Text)
    request_id: Mapped[str | None]
    created_at: Mapped[datetime]


class UsageEvent(Base):
    """One thing that was used; a trigger keeps the daily sums."""

    __tablename__ = "usage_events"

    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    device_id: Mapped[int | None]
    kind: Mapped[str]
    quantity: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    day: Mapped[date]
    details: Mapped[str | None] = mapped_column("metadata", Text)
    received_at: Mapped[datetime]
