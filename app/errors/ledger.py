"""What a quota or a budget refuses."""

from __future__ import annotations

from app.errors.root import PortalError


class QuotaExceededError(PortalError):
    """The {quota} runs of this month are used up: {settled} have run and {reserved} are starting or waiting.

    Wait for the next month, which begins on {next_month}, or change to a larger plan.
    """

    code = "quota_exceeded"
    status = 402


class BudgetExceededError(PortalError):
    """There is no room for {amount} USD in {account}: of {cap} USD {settled} are spent, {reserved} only reserved.

    {way_out}
    """

    code = "budget_exceeded"
    status = 402
