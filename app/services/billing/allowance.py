"""What a subscription allows: one pure rule, applied wherever something is granted."""

from __future__ import annotations

from typing import Literal

from app.errors import NoSubscriptionError, SubscriptionInactiveError
from app.errors.verdict import ALLOWED, Verdict
from sql.statements.billing import LICENSED_STATES

Action = Literal["activate_device", "refresh_token"]


def may(action: Action, state: str | None) -> Verdict:
    """Whether a tenant whose current subscription is in ``state`` (None: there is none) may do something.

    Devices are activated and their tokens refreshed while the subscription is active or trialing; reading the
    policy, heartbeats and metering go on in every state.
    """
    if state is None:
        return Verdict(NoSubscriptionError)
    if state not in LICENSED_STATES:
        return Verdict(SubscriptionInactiveError, {"state": state})
    return ALLOWED
