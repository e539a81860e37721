"""Alerts about budgets: which levels of a cap are reached, and raising each once for its account and period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.money import to_usd
from app.services.ledger.settlements import Moved
from app.services.llm.alerts import AlertLevel, Announcement, NewAlert, raise_alerts
from app.services.llm.system_settings import DEFAULTS
from sql.statements import budget_levels, llm_alerts

# By how many percent of the cap are spent.
LEVELS: Final[Mapping[int, AlertLevel]] = {
    50: "info",
    70: "info",
    80: "warning",
    90: "warning",
    95: "critical",
    100: "critical",
}
# How many alerts the schedule raises in one transaction.
AT_ONCE: Final = 500
_NAMES: Final = {
    ("installation", "month"): "monthly budget",
    ("installation", "day"): "daily budget",
    ("tenant", "month"): "monthly budget of tenant {slug}",
    ("project", "month"): "monthly budget of project {project_id}",
}
NOTHING: Final = Announcement(0, ())


class ReachedLevel(NamedTuple):
    """An account of which a level is reached; ``settled`` and ``cap`` are in 1e-9 USD."""

    id: int
    key: str
    level: str
    tenant_id: int | None
    project_id: str | None
    period: str
    starts_on: date | None
    settled: int
    cap: int
    percent: int


class NamedTenant(NamedTuple):
    """A tenant that an alert names."""

    id: int
    slug: str


def reached(cost: int, budget: int) -> list[int]:
    """The levels that a cost has reached, in percent; none of a budget of zero, or while nothing is spent."""
    return [level for level in LEVELS if budget > 0 and 0 < level * budget <= 100 * cost]


def newly_reached(accounts: Sequence[Moved]) -> Iterator[ReachedLevel]:
    """The levels that a settlement reaches: those that were not reached before it."""
    for before, used in accounts:
        if before.cap:
            already = reached(before.settled, before.cap)
            for percent in reached(before.settled + used, before.cap)[len(already) :]:
                yield ReachedLevel(
                    **{**before._asdict(), "settled": before.settled + used, "cap": before.cap}, percent=percent
                )


async def raise_reached(conn: WriteConnection, ctx: Context, levels: Sequence[ReachedLevel]) -> Announcement:
    """Raise the alerts of these levels in the caller's transaction; of a tenant or project that is gone, none."""
    if not levels:
        return NOTHING
    slugs, projects = await _owners(conn, levels)
    alerts = [
        _alert(level, slugs.get(level.tenant_id or 0, ""))
        for level in levels
        if (level.tenant_id is None or level.tenant_id in slugs)
        and (level.project_id is None or level.project_id in projects)
    ]
    return await raise_alerts(conn, ctx, alerts) if alerts else NOTHING


async def raise_budget_alerts(ctx: Context) -> Mapping[str, object]:
    """Raise the alerts that no settlement could: of levels that are reached because a cap was lowered."""
    defaults = {"default_monthly_budget": DEFAULTS.monthly_budget, "default_daily_budget": DEFAULTS.daily_budget}
    moments = {"first_day": ctx.month().first_day, "today": ctx.today()}
    raised = 0
    while True:
        async with ctx.read() as reader:
            levels = await reader.many(
                budget_levels.levels_without_alert, ReachedLevel, **defaults, **moments, max_rows=AT_ONCE
            )
        if not levels:
            return {"raised": raised}
        async with ctx.write() as conn:
            announcement = await raise_reached(conn, ctx, levels)
        announcement.committed(ctx)
        raised += announcement.alerts
        # Another process has raised the same, or their owners are gone.
        if len(levels) < AT_ONCE or not announcement.alerts:
            return {"raised": raised}


async def _owners(conn: WriteConnection, levels: Sequence[ReachedLevel]) -> tuple[dict[int, str], set[str]]:
    """The slugs of their tenants by id, and their projects, as far as they are there; they stay until the commit."""
    tenants = sorted({level.tenant_id for level in levels if level.tenant_id is not None})
    projects = list({(level.project_id, level.tenant_id) for level in levels if level.project_id is not None})
    slugs: dict[int, str] = {}
    found: set[str] = set()
    if tenants:
        batch = as_batch([{"id": tenant_id} for tenant_id in tenants])
        slugs = dict(await conn.many(llm_alerts.tenants_of_alerts, NamedTenant, batch=batch))
    if projects:
        batch = as_batch([{"project_id": project_id, "tenant_id": tenant_id} for project_id, tenant_id in projects])
        found = set(await conn.many(llm_alerts.projects_of_alerts, str, batch=batch))
    return slugs, found


def _alert(level: ReachedLevel, slug: str) -> NewAlert:
    name = _NAMES[level.level, level.period].format(slug=slug, project_id=level.project_id)
    period = f"{level.starts_on:%Y-%m}" if level.period == "month" else f"{level.starts_on:%Y-%m-%d}"
    spender = "models have" if level.level == "installation" else f"calls of this {level.level} have"
    return NewAlert(
        key=f"{level.key}:{level.percent}",
        type="budget",
        level=LEVELS[level.percent],
        message=f"{level.percent} % of the {name} is spent",
        details=f"In {period} {spender} cost {to_usd(level.settled):,.2f} of {to_usd(level.cap):,.2f} USD.",
        tenant_id=level.tenant_id,
        project_id=level.project_id,
    )
