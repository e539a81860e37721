"""Comparing everything with Stripe, from the command line."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from app.commands.output import FAILED, answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.payments.comparison import Difference
from app.services.payments.reconciliation import Reconciliation, reconcile


async def stripe_reconcile(
    *,
    tenant: Annotated[str | None, Parameter(help="Only this tenant, by its slug.")] = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Only report what differs; change nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Compare what is stored with what Stripe has and repair each difference; exit code 1 if one is left."""
    async with operating() as ctx:
        found = await reconcile(ctx, is_dry_run=dry_run, tenant_slug=tenant)
    left = [difference for difference in found.differences if not difference.is_repaired]
    result = {
        "customers": found.customers,
        "differences": [difference._asdict() for difference in found.differences],
        "failures": found.failures,
    }
    answer(as_json, result, *_shown(found, left))
    return FAILED if left or found.failures else 0


def _shown(found: Reconciliation, left: list[Difference]) -> list[Table | Text]:
    if not found.differences and not found.failures:
        return [Text(f"{found.customers} customers are here as they are at Stripe.", style="green")]
    table = Table("Tenant", "What", "Id", "Difference", "Here", "At Stripe", "Repaired")
    for each in found.differences:
        cells = (each.tenant or "", each.kind, each.id, each.what, _text(each.here), _text(each.at_stripe))
        table.add_row(*cells, "yes" if each.is_repaired else "no")
    lines = [Text(failure, style="red") for failure in found.failures]
    summary = f"{found.customers} customers compared, {len(found.differences)} differences, {len(left)} left."
    return [table, *lines, Text(summary, style="red" if left or lines else "green")]


def _text(value: object) -> str:
    return "" if value is None else str(value)
