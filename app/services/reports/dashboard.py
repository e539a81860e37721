"""The operator's first page: how many there are, how that moves, and what happened lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from app.context import Context
from app.contract.camel import CAMEL
from app.events import EventType
from app.services.figures.sums import ALL_TIME, EXPIRED, Figures, days_between, read_figures, read_with_expired, span
from sql.statements import events

MAX_ACTIVITIES = 20
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Trend:
    """How far something moved, in percent, and which way."""

    __pydantic_config__ = CAMEL
    value: float
    direction: str


@dataclass(frozen=True, slots=True)
class Trends:
    """The last seven days, today among them, against the seven before."""

    __pydantic_config__ = CAMEL
    codes: Trend
    devices: Trend
    projects: Trend
    tenants: Trend
    success_rate: Trend


@dataclass(frozen=True, slots=True)
class DashboardStats:
    """What there is at this moment."""

    __pydantic_config__ = CAMEL
    total_codes: int
    active_codes: int
    expired_codes: int
    revoked_codes: int
    total_devices: int
    active_devices: int
    revoked_devices: int
    total_projects: int
    active_projects: int
    total_tenants: int
    active_tenants: int
    # The share of codes that were used, in percent with one decimal, as are all of these.
    success_rate: float
    trends: Trends


@dataclass(frozen=True, slots=True)
class TrendDay:
    """What was created on one day."""

    __pydantic_config__ = CAMEL
    date: str
    codes: int
    projects: int
    devices: int


@dataclass(frozen=True, slots=True)
class ProjectCounts:
    """Projects that are active, and all."""

    __pydantic_config__ = CAMEL
    active: int
    total: int


@dataclass(frozen=True, slots=True)
class DeviceCounts:
    """Devices that hold a seat, that were revoked, and all."""

    __pydantic_config__ = CAMEL
    active: int
    revoked: int
    total: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """Projects beside devices."""

    __pydantic_config__ = CAMEL
    projects: ProjectCounts
    devices: DeviceCounts


class RecentEvent(NamedTuple):
    """A row of the trail with the names of its tenant and of its device or code, if these are still there."""

    event_type: str
    severity: str
    title: str
    actor_name: str
    tenant_name: str | None
    label: str | None
    is_of_license: bool
    metadata: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the feed; ``icon`` and ``backdrop`` are shown as they are.

    ``tenant`` is whom it is about, or who has done it where it is about no tenant; ``actor`` has done it.
    """

    __pydantic_config__ = CAMEL
    type: str
    icon: str
    action: str
    tenant: str
    actor: str
    timestamp: datetime
    backdrop: str
    severity: str
    metadata: dict[str, Any]


DEFAULT_LOOK = ("[EVENT]", "gray-100", "gray-600")
LOOKS: dict[str, tuple[str, str, str]] = {
    EventType.TENANT_CREATED: ("[TENANT]", "rose-100", "rose-600"),
    EventType.TENANT_UPDATED: ("[EDIT]", "blue-100", "blue-600"),
    EventType.TENANT_DELETED: ("[DELETE]", "red-100", "red-600"),
    EventType.CODE_GENERATED: ("[CODE]", "indigo-100", "indigo-600"),
    EventType.CODE_REVOKED: ("[REVOKE]", "amber-100", "amber-600"),
    EventType.CODE_ACTIVATED: ("[ACTIVE]", "emerald-100", "emerald-600"),
    EventType.DEVICE_CLONED: ("[CLONE]", "red-100", "red-600"),
    EventType.DEVICE_ENROLLED: ("[DEVICE]", "emerald-100", "emerald-600"),
    EventType.DEVICE_IDLE: ("[IDLE]", "yellow-100", "yellow-600"),
    EventType.DEVICE_REINSTATED: ("[DEVICE]", "emerald-100", "emerald-600"),
    EventType.DEVICE_RELEASED: ("[RELEASE]", "gray-100", "gray-600"),
    EventType.DEVICE_RETURNED: ("[DEVICE]", "emerald-100", "emerald-600"),
    EventType.DEVICE_REVOKED: ("[BLOCK]", "amber-100", "amber-600"),
    EventType.USER_LOGIN: ("[LOGIN]", "purple-100", "purple-600"),
    EventType.USER_LOGOUT: ("[LOGOUT]", "gray-100", "gray-600"),
    EventType.SESSION_CREATED: ("[SESSION]", "blue-100", "blue-600"),
    EventType.SESSION_EXPIRED: ("[EXPIRED]", "yellow-100", "yellow-600"),
    EventType.CONFIG_UPDATED: ("[CONFIG]", "cyan-100", "cyan-600"),
    EventType.PROJECT_CREATED: ("[PROJECT]", "green-100", "green-600"),
    EventType.PROJECT_UPDATED: ("[UPDATE]", "blue-100", "blue-600"),
    EventType.PROJECT_DELETED: ("[REMOVE]", "red-100", "red-600"),
    EventType.RUN_STARTED: ("[RUN]", "blue-100", "blue-600"),
    EventType.RUN_COMPLETED: ("[DONE]", "green-100", "green-600"),
    EventType.RUN_FAILED: ("[FAILED]", "red-100", "red-600"),
    EventType.RUN_CANCELLED: ("[CANCEL]", "amber-100", "amber-600"),
    EventType.ALERT_DISMISSED: ("[ALERT]", "gray-100", "gray-600"),
    EventType.TEMPLATE_DELETED: ("[TEMPLATE]", "amber-100", "amber-600"),
}

_COUNTED_BY_WEEK = ("codes_created", "codes_used", "devices_created", "projects_created", "tenants_created")
_COUNTED = (*_COUNTED_BY_WEEK, "codes_revoked", "codes_open", "devices_held", "devices_revoked", "projects_active")

_DISTRIBUTED = ("devices_created", "devices_held", "projects_created", "projects_active")


async def dashboard_stats(ctx: Context) -> DashboardStats:
    """All the figures of the dashboard, exact; the days are those of the installation's time zone."""
    zone, day = ctx.runtime.zone, ctx.today()
    week = span("week", day - WEEK + timedelta(days=1), day, zone)
    week_before = span("week before", day - 2 * WEEK + timedelta(days=1), day - WEEK, zone)
    periods = [(metric, ALL_TIME) for metric in _COUNTED]
    periods += [(metric, period) for metric in _COUNTED_BY_WEEK for period in (*week, *week_before)]
    async with ctx.read() as conn:
        figures = await read_with_expired(conn, ctx.now(), periods, ("codes_expiring", "codes_open"))
    return _stats(figures)


def _stats(figures: Figures) -> DashboardStats:
    codes, devices, held = (figures.of(metric) for metric in ("codes_created", "devices_created", "devices_held"))
    return DashboardStats(
        total_codes=codes,
        active_codes=figures.of("codes_open") - figures.of("codes_open", EXPIRED),
        expired_codes=figures.of("codes_expiring", EXPIRED),
        revoked_codes=figures.of("codes_revoked"),
        total_devices=devices,
        active_devices=held,
        revoked_devices=figures.of("devices_revoked"),
        total_projects=figures.of("projects_created"),
        active_projects=figures.of("projects_active"),
        total_tenants=figures.of("tenants_created"),
        active_tenants=figures.of("subscriptions_active"),
        success_rate=percentage(figures.of("codes_used"), codes),
        trends=Trends(
            codes=_growth(figures, "codes_created"),
            devices=_growth(figures, "devices_created"),
            projects=_growth(figures, "projects_created"),
            tenants=_growth(figures, "tenants_created"),
            success_rate=_moved(_use(figures, "week") - _use(figures, "week before")),
        ),
    )


def percentage(part: int, whole: int) -> float:
    """The share in percent, with one decimal; of nothing it is 0."""
    return round(part / whole * 100, 1) if whole else 0.0


def _use(figures: Figures, period: str) -> float:
    made = figures.of("codes_created", period)
    return figures.of("codes_used", period) / made * 100 if made else 0.0


def _growth(figures: Figures, metric: str) -> Trend:
    now, earlier = figures.of(metric, "week"), figures.of(metric, "week before")
    if not earlier:
        return _moved(100.0 if now else 0.0)
    return _moved((now - earlier) / earlier * 100)


def _moved(percent: float) -> Trend:
    return Trend(abs(round(percent, 1)), "up" if percent >= 0 else "down")


async def activation_trend(ctx: Context, days: int) -> list[TrendDay]:
    """What was created on each of the last ``days`` days and today.

    Of devices those that were not revoked since, of projects those that have an activation code by now.
    """
    metrics = ("codes_created", "projects_with_code", "devices_held")
    return [TrendDay(day, *sums) for day, sums in await _by_day(ctx, ctx.today() - timedelta(days=days), metrics)]


async def codes_and_devices_by_day(ctx: Context, first_day: date) -> list[tuple[str, int, int]]:
    """Date, codes and devices that were created on each day from the first one to today, revoked ones among them."""
    figures = await _by_day(ctx, first_day, ("codes_created", "devices_created"))
    return [(day, codes, devices) for day, (codes, devices) in figures]


async def _by_day(ctx: Context, first_day: date, metrics: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Each day from the first one to today as it is shown, with the sums of the metrics."""
    days = days_between(first_day, ctx.today(), ctx.runtime.zone)
    async with ctx.read() as conn:
        figures = await read_figures(conn, [(metric, day) for metric in metrics for day in days])
    sums = [figures.by_period(metric) for metric in metrics]
    return [
        (f"{date.fromisoformat(day):%b %d}", [of_metric.get(day, 0) for of_metric in sums])
        for day in dict.fromkeys(period.name for period in days)
    ]


async def distribution(ctx: Context) -> Distribution:
    """How many projects and devices there are."""
    async with ctx.read() as conn:
        figures = await read_figures(conn, [(metric, ALL_TIME) for metric in _DISTRIBUTED])
    total, active = figures.of("devices_created"), figures.of("devices_held")
    projects = ProjectCounts(figures.of("projects_active"), figures.of("projects_created"))
    return Distribution(projects, DeviceCounts(active, total - active, total))


async def recent_activities(ctx: Context, days: int) -> list[Activity]:
    """The newest of the trail's events, at most 20 and none older than so many days."""
    since = ctx.now() - timedelta(days=days)
    async with ctx.read() as conn:
        found = await conn.many(events.recent_events, RecentEvent, since=since, max_rows=MAX_ACTIVITIES)
    return [_activity(event) for event in found]


def _activity(event: RecentEvent) -> Activity:
    icon, background, text = LOOKS.get(event.event_type, DEFAULT_LOOK)
    return Activity(
        type=event.event_type,
        icon=icon,
        action=_action(event),
        tenant=event.tenant_name or event.actor_name or "Unknown",
        actor=event.actor_name,
        timestamp=event.created_at,
        backdrop=f"bg-{background} text-{text}",
        severity=event.severity,
        metadata=orjson.loads(event.metadata),
    )


def _action(event: RecentEvent) -> str:
    """The title, and for a device or a code whose it is and the label that a person knows it by."""
    if not event.is_of_license or event.tenant_name is None or event.tenant_name in event.title:
        return event.title
    label = f" ({event.label})" if event.label else ""
    return f"{event.title} for {event.tenant_name}{label}"
