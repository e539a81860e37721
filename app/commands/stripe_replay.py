"""Handling again what Stripe has told, from the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from app.commands.output import answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.payments import replay


async def stripe_replay(
    *,
    tenant: Annotated[str | None, Parameter(help="All events of this tenant, by its slug.")] = None,
    event: Annotated[str | None, Parameter(help="This event, by Stripe's id of it.")] = None,
    failed: Annotated[bool, Parameter(negative=(), help="Those that have failed, of all tenants.")] = False,
    as_json: AsJson = False,
) -> None:
    """Handle events of Stripe's again: a server or portal work does it, and nothing follows from them twice."""
    async with operating() as ctx:
        replayed = await replay.replay(ctx, tenant_slug=tenant, event_id=event, failed=failed)
        await ctx.runtime.drain()
    text = f"{replayed.events} events of {replayed.customers} customers are handled again."
    answer(as_json, asdict(replayed), text)
