"""What a subscription allows: one pure rule, applied wherever something is granted."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from app.errors import (
    GraceEndedError,
    NoSubscriptionError,
    SubscriptionInactiveError,
    TrialEndedError,
    TrialProjectLimitError,
)
from app.errors.verdict import ALLOWED, Verdict

Action = Literal["activate_device", "refresh_token", "create_project", "run_project"]


class Standing(NamedTuple):
    """How a tenant's current subscription stands; without one the state is None.

    A subscription that is past due is licensed until ``grace_until`` (None: not at all), a trial until
    ``trial_ends_at`` (None: without an end).
    """

    state: str | None
    grace_until: datetime | None = None
    trial_ends_at: datetime | None = None


def may(action: Action, standing: Standing, now: datetime, *, has_projects: bool = False) -> Verdict:
    """Whether a tenant whose current subscription stands so may do something at ``now``, by the clock of billing.

    Devices are activated, their tokens refreshed, and projects created and run while the subscription is active, in a
    trial that has not ended, or past due within its days of grace; a trial allows one project, so a tenant that has
    one (``has_projects``) may not create another. Reading the policy, heartbeats, metering, billing, and reading and
    changing projects go on in every state.
    """
    if standing.state is None:
        return Verdict(NoSubscriptionError)
    if not (verdict := _licensed(standing, now)).allowed:
        return verdict
    if action == "create_project" and standing.state == "trialing" and has_projects:
        return Verdict(TrialProjectLimitError)
    return ALLOWED


def _licensed(standing: Standing, now: datetime) -> Verdict:
    """Whether the subscription is good at this moment; ``sql.statements.billing.is_licensed`` says the same in SQL."""
    state, grace_until, trial_ends_at = standing
    if state == "active":
        return ALLOWED
    if state == "trialing":
        if trial_ends_at is None or now < trial_ends_at:
            return ALLOWED
        return Verdict(TrialEndedError, {"state": state, "ended_at": trial_ends_at.isoformat()})
    if state == "past_due" and grace_until is not None:
        if now < grace_until:
            return ALLOWED
        return Verdict(GraceEndedError, {"state": state, "ended_at": grace_until.isoformat()})
    return Verdict(SubscriptionInactiveError, {"state": state})
