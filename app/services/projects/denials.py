"""Why projects cannot be run at this moment, for those who look at several of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from app.context import Context
from app.database.connections import as_batch
from app.errors.verdict import Verdict
from app.services.billing.allowance import Standing
from app.services.billing.clock import billing_now
from app.services.projects.details import Project
from app.services.projects.rules import may_run
from sql.statements import billing

# States that go on until a moment.
ENDING: Final = frozenset({"trialing", "past_due"})


class _OfTenant(NamedTuple):
    """How a tenant's subscription stands."""

    tenant_id: int
    state: str
    grace_until: datetime | None
    trial_ends_at: datetime | None


async def run_verdicts(ctx: Context, projects: Sequence[Project]) -> list[Verdict]:
    """Whether each project may be run now; of tenants whose state has an end, one statement asks when that is."""
    owners = sorted(
        {each.tenant_id for each in projects if each.tenant_id is not None and each.subscription_state in ENDING}
    )
    standings: dict[int | None, Standing] = {}
    if owners:
        batch = as_batch([{"tenant_id": tenant_id} for tenant_id in owners])
        async with ctx.read() as conn:
            for found in await conn.many(billing.standings, _OfTenant, batch=batch):
                standings[found.tenant_id] = Standing(found.state, found.grace_until, found.trial_ends_at)
    now = await billing_now(ctx)
    return [
        may_run(project, standings.get(project.tenant_id, Standing(project.subscription_state)), now)
        for project in projects
    ]
