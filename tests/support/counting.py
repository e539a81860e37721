"""The dashboard's figures, counted row by row."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

from support.live import LiveServer
from support.rows import rows

from sql.tables import activation_codes, devices, plans, projects, subscriptions, tenants


def percent(part: float, whole: float) -> float:
    return round(part / whole * 100, 1) if whole else 0.0


def moved(percent: float) -> dict[str, Any]:
    return {"value": abs(round(percent, 1)), "direction": "up" if percent >= 0 else "down"}


class Counting:
    """Every figure, counted row by row."""

    def __init__(self, live: LiveServer, found: dict[str, list[Any]]) -> None:
        self.zone, self.now = live.runtime.zone, live.ctx.now()
        self.codes, self.devices, self.tenants = found["codes"], found["devices"], found["tenants"]
        self.subscriptions = [row for row in found["subscriptions"] if row.ended_at is None]
        self.projects = found["projects"]
        self.plans = {row.id: row for row in found["plans"]}
        self.today = self.now.astimezone(self.zone).date()

    def day(self, moment: datetime | None) -> date | None:
        return moment and moment.astimezone(self.zone).date()

    def week(self, moments: list[datetime | None], weeks_ago: int) -> int:
        last = self.today - timedelta(days=7 * weeks_ago)
        return sum(1 for moment in moments if moment and last - timedelta(days=7) < (self.day(moment) or last) <= last)

    def growth(self, moments: list[Any]) -> dict[str, Any]:
        now, earlier = self.week(moments, 0), self.week(moments, 1)
        return moved((now - earlier) / earlier * 100 if earlier else 100 if now else 0)

    def use(self, weeks_ago: int) -> float:
        made = self.week([code.created_at for code in self.codes], weeks_ago)
        return self.week([code.used_at for code in self.codes], weeks_ago) / made * 100 if made else 0.0

    def stats(self) -> dict[str, Any]:
        expired = [code for code in self.codes if code.expires_at and code.expires_at <= self.now]
        active = [
            code
            for code in self.codes
            if code not in expired and code.revoked_at is None and code.use_count < code.max_uses
        ]
        return {
            "totalCodes": len(self.codes),
            "activeCodes": len(active),
            "expiredCodes": len(expired),
            "revokedCodes": sum(code.revoked_at is not None for code in self.codes),
            "totalDevices": len(self.devices),
            "activeDevices": sum(not device.is_revoked for device in self.devices),
            "revokedDevices": sum(device.is_revoked for device in self.devices),
            "totalProjects": len(self.projects),
            "activeProjects": sum(project.is_active for project in self.projects),
            "totalTenants": len(self.tenants),
            "activeTenants": sum(row.state == "active" for row in self.subscriptions),
            "successRate": percent(sum(code.used_at is not None for code in self.codes), len(self.codes)),
            "trends": {
                "codes": self.growth([code.created_at for code in self.codes]),
                "devices": self.growth([device.created_at for device in self.devices]),
                "projects": self.growth([project.created_at for project in self.projects]),
                "tenants": self.growth([tenant.created_at for tenant in self.tenants]),
                "successRate": moved(self.use(0) - self.use(1)),
            },
        }

    def created(self, days: int, *, revoked_too: bool) -> list[tuple[str, int, int]]:
        codes = Counter(self.day(code.created_at) for code in self.codes)
        held = Counter(self.day(device.created_at) for device in self.devices if revoked_too or not device.is_revoked)
        shown = [self.today - timedelta(days=ago) for ago in range(days, -1, -1)]
        return [(f"{day:%b %d}", codes[day], held[day]) for day in shown]

    def with_code(self, days: int) -> list[int]:
        held = Counter(self.day(row.created_at) for row in self.projects if row.activation_code_id is not None)
        return [held[self.today - timedelta(days=ago)] for ago in range(days, -1, -1)]

    def project_usages(self, project_filter: str) -> list[tuple[str, int, int]]:
        """Tenants by their number of chosen projects, with the quota of their plan."""
        newest = sorted(self.projects, key=lambda row: (row.created_at, row.id), reverse=True)
        named = [row for row in newest if f"project:{row.project_id}" == project_filter]
        chosen = {"latest": newest[:1], "top10": newest[:10]}.get(project_filter, named)
        plan_of = {row.tenant_id: self.plans[row.plan_id] for row in self.subscriptions if row.state == "active"}
        names = {row.id: row.name for row in self.tenants}
        counts = Counter(row.tenant_id for row in chosen if row.tenant_id in plan_of)
        ranked = sorted(counts, key=lambda tenant_id: (counts[tenant_id], tenant_id), reverse=True)
        return [(names[one], counts[one], plan_of[one].monthly_run_quota) for one in ranked]

    def distribution(self) -> dict[str, Any]:
        revoked = sum(device.is_revoked for device in self.devices)
        counts = {"active": len(self.devices) - revoked, "revoked": revoked, "total": len(self.devices)}
        active = sum(project.is_active for project in self.projects)
        return {"projects": {"active": active, "total": len(self.projects)}, "devices": counts}

    def analytics(self, days: int) -> dict[str, Any]:
        held = Counter(device.tenant_id for device in self.devices if not device.is_revoked)
        active = [row for row in self.subscriptions if row.state == "active"]
        shares = Counter(row.plan_id for row in active)
        colours = {"starter": "#4CAF50", "pro": "#9B59B6", "enterprise": "#FF6B9D"}
        since = self.now - timedelta(days=30)
        lately = {row.tenant_id for row in self.devices if not row.is_revoked and row.created_at >= since}
        quota = sum(self.plans[row.plan_id].monthly_run_quota for row in active)
        return {
            "activationTrend": [
                {"date": day, "codes": codes, "devices": made}
                for day, codes, made in self.created(days, revoked_too=True)
            ],
            "usages": sorted((held[row.tenant_id] for row in active), reverse=True)[:10],
            "subscriptionDistribution": {
                (self.plans[plan].name, count, colours.get(self.plans[plan].name.lower(), "#6B7280"))
                for plan, count in shares.items()
            },
            "summaryStats": {
                "totalRevenue": 0,
                "currency": "usd",
                "avgUsageRate": percent(sum(held.values()), quota),
                "retentionRate": percent(len(lately), len(self.tenants)),
            },
        }


async def counted(live: LiveServer) -> Counting:
    found = {
        "codes": activation_codes,
        "devices": devices,
        "tenants": tenants,
        "subscriptions": subscriptions,
        "plans": plans,
        "projects": projects,
    }
    return Counting(live, {name: list(await rows(live, table.select())) for name, table in found.items()})
