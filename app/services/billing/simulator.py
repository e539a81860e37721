"""Moving Stripe's simulator ahead, and billing's clock with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.context import Context
from app.errors import SimulatorMissingError
from app.providers.stripe_simulator.simulator import StripeSimulator
from app.services.billing.clock import billing_now, move_billing_clock

DAY = 86_400
MAX_DAYS = 400
# So long a command waits for a portal that does not take the events at once.
SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Advanced:
    """Where billing's clock is now, how much has happened on the way, and how many events the portal has not taken."""

    now: datetime
    seconds_ahead: int
    happened: int
    events_waiting: int


async def advance_simulator(ctx: Context, days: int) -> Advanced:
    """Move the simulator so many days ahead, then billing's clock, and deliver the events of that time.

    What is due on the way happens at its moment, in order. Raises SimulatorMissingError where Stripe itself is asked.
    """
    simulator = the_simulator(ctx)
    progress = await simulator.advance(days * DAY)
    await move_billing_clock(ctx, progress.seconds_ahead)
    waiting = await simulator.deliveries.settle(SETTLE_SECONDS)
    return Advanced(await billing_now(ctx), progress.seconds_ahead, progress.happened, waiting)


def the_simulator(ctx: Context) -> StripeSimulator:
    """The simulator; raises SimulatorMissingError where Stripe itself is asked."""
    if (simulator := ctx.runtime.simulator) is None:
        raise SimulatorMissingError
    return simulator
