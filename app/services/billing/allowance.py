"""What a subscription allows: one pure rule, applied wherever something is granted."""

from __future__ import annotations

from typing import Literal

from app.errors import NoSubscriptionError, SubscriptionInactiveError, TrialProjectLimitError
from app.errors.verdict import ALLOWED, Verdict
from sql.statements.billing import LICENSED_STATES

Action = Literal["activate_device", "refresh_token", "create_project", "run_project"]


def may(action: Action, state: str | None, *, has_projects: bool = False) -> Verdict:
    """Whether a tenant whose current subscription is in ``state`` (None: there is none) may do something.

    Devices are activated, their tokens refreshed, and projects created and run while the subscription is active or
    trialing; a trial allows one project, so a tenant that has one (``has_projects``) may not create another. Reading
    the policy, heartbeats, metering, and reading and changing projects go on in every state.
    """
    if state is None:
        return Verdict(NoSubscriptionError)
    if state not in LICENSED_STATES:
        return Verdict(SubscriptionInactiveError, {"state": state})
    if action == "create_project" and state == "trialing" and has_projects:
        return Verdict(TrialProjectLimitError)
    return ALLOWED
