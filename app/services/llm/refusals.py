"""Why a budget refuses a call: which one, what it has left, and the cheapest thing that frees it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from app.context import Context
from app.errors import BudgetExceededError
from app.money import MAX_DECIMALS
from app.services.ledger.reservations import Balance

# By level and period: the budget in words, and who raises it where.
_NAMES: Final = {
    ("installation", "month"): ("the installation's monthly budget", "raise the monthly budget in the system settings"),
    ("installation", "day"): ("the installation's daily budget", "raise the daily budget in the system settings"),
    ("tenant", "month"): ("the monthly budget of tenant {tenant_id}", "give the tenant a plan with a larger budget"),
    ("project", "month"): ("the monthly budget of project {project_id}", "raise the budget of the project"),
}


def refusal_of(ctx: Context, balance: Balance, amount: int) -> BudgetExceededError:
    """The error for a call of this worst case, in 1e-9 USD, that an account has no room for."""
    name, raising = _NAMES[balance.level, balance.period]
    cap = balance.cap or 0
    if amount > cap:
        way_out = f"No call of that size fits this budget: ask for fewer tokens, use a cheaper model, or {raising}."
    elif balance.would_fit(amount):
        way_out = f"Try again when the calls that hold it have ended, or {raising}."
    else:
        begins = ctx.today() + timedelta(days=1) if balance.period == "day" else ctx.month().next_day
        way_out = f"Wait for the next {balance.period}, which begins on {begins}, or {raising}."
    return BudgetExceededError(
        account=name.format(tenant_id=balance.tenant_id, project_id=balance.project_id),
        amount=usd(amount),
        cap=usd(cap),
        settled=usd(balance.settled),
        reserved=usd(balance.reserved),
        way_out=way_out,
    )


def usd(nanos: int) -> str:
    """An amount of 1e-9 USD as exact text, such as ``0.05``."""
    text = f"{Decimal(nanos).scaleb(-MAX_DECIMALS):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
