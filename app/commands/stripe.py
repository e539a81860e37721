"""Stripe's simulator, from the command line."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from app.commands.output import answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.billing.simulator import MAX_DAYS, advance_simulator


async def advance(
    *,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_DAYS), help="How many days of billing pass.")],
    as_json: AsJson = False,
) -> None:
    """Move Stripe's simulator ahead, and billing's clock with it; renewals, failures and ends happen in order."""
    async with operating() as ctx:
        advanced = await advance_simulator(ctx, days)
    ahead = f"{advanced.seconds_ahead / 86_400:.0f} days ahead"
    lines = [
        f"For billing it is {advanced.now:%Y-%m-%d %H:%M:%S} UTC, {ahead}.",
        f"What has happened on the way: {advanced.happened} renewals, attempts to be paid, notices and ends.",
    ]
    if advanced.events_waiting:
        lines.append(f"{advanced.events_waiting} events wait until the portal takes them; start: portal serve")
    result = {
        "now": advanced.now,
        "seconds_ahead": advanced.seconds_ahead,
        "happened": advanced.happened,
        "events_waiting": advanced.events_waiting,
    }
    answer(as_json, result, *lines)
