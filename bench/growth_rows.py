"""The rows of an installation that has grown: what a chunk of tenants consists of, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from app.access.keys import fingerprint_hash
from app.events import EventType
from bench.growth_models import BUSY_CALLS, CALL_COLUMNS, PROJECT_COLUMNS, Owner, call_rows, project_rows
from bench.growth_names import tenant_name
from sql.folding import fold

Row = tuple[Any, ...]

# Named one by one: a column that a later migration adds takes its default.
COLUMNS = {
    "tenants": "id name folded_name slug logo_url primary_color domain email phone_number otp_delivery_method"
    " created_at updated_at",
    "subscriptions": "tenant_id plan_id state seats_used current_period_start current_period_end grace_until"
    " stripe_customer_id stripe_subscription_id created_at updated_at ended_at",
    "activation_codes": "id tenant_id code_hash hint label folded_label max_uses use_count expires_at used_at"
    " revoked_at created_at",
    "devices": "id tenant_id hw_fingerprint label folded_label activation_code_id is_revoked last_seen created_at",
    "usage_events": "tenant_id event_id device_id kind quantity at day metadata received_at",
    "usage_rollups": "tenant_id day kind quantity events",
    "run_changes": "tenant_id month runs",
    "projects": PROJECT_COLUMNS,
    "llm_calls": CALL_COLUMNS,
    "platform_events": "xid event_type severity title actor_type actor_name tenant_id code_id device_id metadata"
    " request_id created_at",
}
# Name, price, monthly quota, most devices.
PLANS = (
    ("Growth Starter", "price_growth_starter", 100, 10),
    ("Growth Team", "price_growth_team", 1_000, 50),
    ("Growth Business", "price_growth_business", 20_000, 1_000),
    ("Growth Unlimited", "price_growth_unlimited", 1_000_000, None),
)
STATES = {"active": 66, "trialing": 8, "past_due": 7, "canceled": 5, "unpaid": 3, "suspended": 3, None: 8}
CODE_STATES = {"used": 50, "active": 25, "expired": 15, "revoked": 10}
REVOKED_DEVICES = 0.1


@dataclass(frozen=True)
class Shape:
    """What each tenant has; ``today`` is the installation's day up to whose beginning everything has happened."""

    codes_each: int = 10
    devices_each: int = 10
    calls_each: int = 5
    busy_calls: int = BUSY_CALLS
    days: int = 365
    event_days: int = 3
    rollup_days: int = 12
    seed: int = 1
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def begin_of(self, days_ago: int) -> datetime:
        """When that day begins in the installation's time zone."""
        return datetime.combine(self.today - timedelta(days_ago), time.min, self.zone).astimezone(UTC)


@dataclass(frozen=True)
class Ids:
    """The numbers that the database has set aside for a chunk, and that of its transaction."""

    tenants: Sequence[int]
    codes: Sequence[int]
    devices: Sequence[int]
    transaction: int


class Chunk:
    """The rows of some tenants, table by table, in an order that satisfies every foreign key."""

    def __init__(self, shape: Shape, plans: Sequence[int], ids: Ids) -> None:
        self.tables: dict[str, list[Row]] = {name: [] for name in COLUMNS}
        self._shape = shape
        self._plans = plans
        self._ids = ids
        self._now = shape.begin_of(0)
        self._starts = [shape.begin_of(days_ago) for days_ago in range(shape.event_days)]
        self._random = Random()

    def add(self, index: int, number: int) -> None:
        """The tenant of this number, as the chunk's ``index``-th."""
        shape = self._shape
        self._random = draw = Random(f"{shape.seed}/{number}")
        # A quarter came during the last year, the others in the two years before it.
        age = draw.uniform(1, shape.days) if draw.random() < 0.25 else draw.uniform(shape.days, 3 * shape.days)
        tenant = _Tenant(self._ids.tenants[index], number, self._now - timedelta(age), timedelta(age))
        device_ids = self._ids.devices[index * shape.devices_each : (index + 1) * shape.devices_each]
        code_ids = self._ids.codes[index * shape.codes_each : (index + 1) * shape.codes_each]
        self._add_tenant(tenant)
        revoked = [draw.random() < REVOKED_DEVICES for _ in device_ids]
        has_current = self._add_subscription(tenant, revoked.count(False))
        bound = self._add_codes(tenant, code_ids, len(device_ids))
        self._add_devices(tenant, device_ids, bound, revoked)
        self._add_usage(tenant, device_ids)
        self._add_trail(tenant, has_current, bound, device_ids, revoked)
        self._add_projects(tenant)

    def _moment(self, tenant: _Tenant, begin: float, end: float) -> datetime:
        """Some time of the tenant's life, whose parts run from 0 to 1."""
        return tenant.born + tenant.age * (begin + (end - begin) * self._random.random())

    def _add_tenant(self, tenant: _Tenant) -> None:
        draw = self._random
        host = f"{tenant.name.lower().replace(' ', '-')}-{tenant.number}.example"
        logo, domain, email, phone = (draw.random() < part for part in (0.3, 0.2, 0.7, 0.4))
        self.tables["tenants"].append(
            (
                tenant.id,
                tenant.name,
                fold(tenant.name),
                tenant.slug,
                f"https://{host}/logo.svg" if logo else None,
                f"#{draw.getrandbits(24):06x}" if logo else None,
                host if domain else None,
                f"office@{host}" if email else None,
                f"+49 30 {tenant.number:07}" if phone else None,
                "sms" if phone and not email else "email",
                tenant.born,
                self._moment(tenant, 0, 1),
            )
        )

    def _add_subscription(self, tenant: _Tenant, seats: int) -> bool:
        """The current one, if there is one, and for some tenants an earlier one that has ended."""
        draw = self._random
        state = draw.choices(list(STATES), list(STATES.values()))[0]
        plan = draw.choice(self._plans)
        stripe = f"growth_{tenant.number:06}" if draw.random() < 0.6 else None
        began = tenant.born
        if state is None or draw.random() < 0.1:
            ended = self._moment(tenant, 0.7, 0.9)
            self._add_period(tenant, (self._plans[0], "canceled", 0), None, (began, ended))
            began = ended
        if state is not None:
            self._add_period(tenant, (plan, state, seats), stripe, (began, None))
        return state is not None

    def _add_period(
        self,
        tenant: _Tenant,
        held: tuple[int, str, int],
        stripe: str | None,
        span: tuple[datetime, datetime | None],
    ) -> None:
        began, ended = span
        period_end = ended or self._now + timedelta(days=1 + tenant.number % 30)
        self.tables["subscriptions"].append(
            (
                tenant.id,
                *held,
                max(began, period_end - timedelta(days=31)),
                period_end,
                self._now + timedelta(days=7) if held[1] == "past_due" else None,
                stripe and f"cus_{stripe}",
                stripe and f"sub_{stripe}",
                began,
                ended or began,
                ended,
            )
        )

    def _add_codes(self, tenant: _Tenant, ids: Sequence[int], devices: int) -> list[int | None]:
        """Answers the code that bound each device; as many uses are counted as devices were bound."""
        draw = self._random
        states = draw.choices(list(CODE_STATES), list(CODE_STATES.values()), k=len(ids))
        # Each used code binds a device first; the others may have been used before they expired or were revoked.
        order = [index for index, state in enumerate(states) if state == "used"][:devices]
        order += [int(draw.random() * len(ids)) for _ in range(devices - len(order))] if ids else []
        uses = [0] * len(ids)
        for index in order:
            uses[index] += 1
        for index, (code_id, state, count) in enumerate(zip(ids, states, uses, strict=True)):
            told = hashlib.sha256(f"{self._shape.seed}/{tenant.number}/{index}".encode())
            over = self._moment(tenant, 0.6, 1)
            open_until = self._now + timedelta(days=1 + index * 30) if index % 2 else None
            self.tables["activation_codes"].append(
                (
                    code_id,
                    tenant.id,
                    told.digest(),
                    told.hexdigest()[:4].upper(),
                    f"Batch {index}" if index % 3 == 0 else None,
                    f"batch {index}" if index % 3 == 0 else None,
                    count if state == "used" and count else count + 1,
                    count,
                    over if state == "expired" else open_until,
                    self._moment(tenant, 0.3, 0.4) if count else None,
                    over if state == "revoked" else None,
                    self._moment(tenant, 0, 0.3),
                )
            )
        return [ids[index] for index in order] if ids else [None] * devices

    def _add_devices(
        self, tenant: _Tenant, ids: Sequence[int], bound: Sequence[int | None], revoked: Sequence[bool]
    ) -> None:
        for index, (device_id, code_id, is_revoked) in enumerate(zip(ids, bound, revoked, strict=True)):
            self.tables["devices"].append(
                (
                    device_id,
                    tenant.id,
                    fingerprint_hash(hardware(tenant.number, index)),
                    f"Machine {index + 1}" if index % 2 else None,
                    f"machine {index + 1}" if index % 2 else None,
                    code_id,
                    is_revoked,
                    self._moment(tenant, 0.6, 0.9) if is_revoked else self._moment(tenant, 0.99, 1),
                    self._moment(tenant, 0.4, 0.6),
                )
            )

    def _add_usage(self, tenant: _Tenant, devices: Sequence[int]) -> None:
        """Events of the last days, summed by the database, and sums without events for some days before."""
        shape, draw = self._shape, self._random
        for days_ago, start in enumerate(self._starts):
            at = start + timedelta(seconds=int(draw.random() * 80_000) if days_ago else 0)
            if at >= tenant.born:
                day = shape.today - timedelta(days_ago)
                device = draw.choice(devices) if devices else None
                quantity = 1 + int(draw.random() * 20)
                self.tables["usage_events"].append(
                    (tenant.id, f"run-{day:%Y%m%d}", device, "run", quantity, at, day, None, at)
                )
        spacing = (shape.days - shape.event_days) / max(1, shape.rollup_days)
        offset = draw.random()
        for point in range(shape.rollup_days):
            days_ago = shape.event_days + int(spacing * (point + offset))
            if days_ago < tenant.age.days:
                events = 1 + int(draw.random() * 40)
                day = shape.today - timedelta(days_ago)
                self.tables["usage_rollups"].append((tenant.id, day, "run", events * 3, events))
                # As the database does it for events; of the months before nobody asks.
                if day.month == shape.today.month and day.year == shape.today.year:
                    self.tables["run_changes"].append((tenant.id, day.replace(day=1), events * 3))

    def _add_projects(self, tenant: _Tenant) -> None:
        owner = Owner(tenant.id, tenant.number, tenant.name, tenant.born, self._now)
        # Of its own, so that the rows of the other tables do not depend on how many calls there are.
        draw = Random(f"{self._shape.seed}/{tenant.number}/models")
        self.tables["projects"] += project_rows(owner, draw)
        self.tables["llm_calls"] += call_rows(owner, draw, self._shape.calls_each, self._shape.zone)

    def _add_trail(
        self,
        tenant: _Tenant,
        has_current: bool,
        bound: Sequence[int | None],
        devices: Sequence[int],
        revoked: Sequence[bool],
    ) -> None:
        """The audit trail of the tenant's beginning, of its first device, and of the first one that was revoked."""
        told: list[tuple[EventType, str, int | None, int | None]] = [
            (EventType.TENANT_CREATED, f"Tenant {tenant.name} created", None, None)
        ]
        if has_current:
            told.append((EventType.SUBSCRIPTION_CREATED, f"{tenant.name} has a subscription", None, None))
        if self._shape.codes_each:
            title = f"{self._shape.codes_each} activation codes generated for {tenant.name}"
            told.append((EventType.CODE_GENERATED, title, None, None))
        if devices:
            title = f"Code activated device {devices[0]}"
            told.append((EventType.CODE_ACTIVATED, title, bound[0], devices[0]))
            told.append((EventType.DEVICE_ENROLLED, f"Device {devices[0]} enrolled", bound[0], devices[0]))
        if True in revoked:
            lost = devices[revoked.index(True)]
            told.append((EventType.DEVICE_REVOKED, f"Device {lost} of {tenant.name} revoked", None, lost))
        for place, (kind, title, code_id, device_id) in enumerate(told):
            actor = ("device", f"device {device_id}") if "activ" in kind or "enrol" in kind else ("operator", "growth")
            at = tenant.born + tenant.age * (place * 0.15)
            head = (self._ids.transaction, kind.value, kind.severity, title, *actor)
            self.tables["platform_events"].append((*head, tenant.id, code_id, device_id, "{}", None, at))


@dataclass(frozen=True, slots=True)
class _Tenant:
    id: int
    number: int
    born: datetime
    age: timedelta

    @property
    def name(self) -> str:
        return tenant_name(self.number)

    @property
    def slug(self) -> str:
        return slug(self.number)


def slug(number: int) -> str:
    """The slug of a tenant: by it a later run knows where to go on."""
    return f"growth-{number:06}"


def hardware(number: int, device: int) -> str:
    """What a tenant's device would send as its fingerprint."""
    return f"{slug(number)}-machine-{device}"
