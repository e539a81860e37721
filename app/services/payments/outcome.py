"""What has followed from a tenant's history in the tables, as a text that can be compared."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Select

from app.context import Context
from app.services.billing.ordering import canonical
from sql.statements import rehearsals as statements

_OUTCOMES: Final[tuple[Select[*tuple[object, ...]], ...]] = (
    statements.subscription_outcome,
    statements.invoice_outcome,
    statements.payment_method_outcome,
    statements.checkout_outcome,
    statements.code_outcome,
)


async def outcome_of(ctx: Context, tenant_id: int) -> bytes:
    """All that has followed, the same bytes for the same; without what is random or tells when it was written."""
    async with ctx.read() as conn:
        found = [
            sorted(canonical(tuple(row)) for row in await conn.rows(statement, tenant_id=tenant_id))
            for statement in _OUTCOMES
        ]
    return b"\n\n".join(b"\n".join(rows) for rows in found)
