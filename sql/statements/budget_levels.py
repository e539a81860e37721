"""Levels of budgets: which accounts have reached one of which no alert tells."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Date,
    Integer,
    String,
    and_,
    bindparam,
    cast,
    exists,
    literal,
    or_,
    select,
    union_all,
)

from sql.hidden import is_shown
from sql.levels import PERCENTS, share
from sql.scope import across_tenants
from sql.statements.ledger import cap
from sql.tables import ledger_accounts, llm_alerts

_percents = union_all(*(select(literal(percent, Integer).label("percent")) for percent in PERCENTS)).cte("percents")

# The accounts of the running month and of the running day on which something was spent, with their caps.
_running = (
    select(
        ledger_accounts.c.id,
        ledger_accounts.c.key,
        ledger_accounts.c.level,
        ledger_accounts.c.tenant_id,
        ledger_accounts.c.project_id,
        ledger_accounts.c.period,
        ledger_accounts.c.starts_on,
        ledger_accounts.c.settled,
        cap.label("cap"),
    )
    .where(
        ledger_accounts.c.unit == "money",
        or_(
            and_(
                ledger_accounts.c.period == "month", ledger_accounts.c.starts_on == bindparam("first_day", type_=Date)
            ),
            and_(ledger_accounts.c.period == "day", ledger_accounts.c.starts_on == bindparam("today", type_=Date)),
        ),
        ledger_accounts.c.settled > 0,
        is_shown(ledger_accounts),
    )
    .cte("running")
    # So that a cap is read once for each account.
    .prefix_with("MATERIALIZED")
)
_key = _running.c.key + ":" + cast(_percents.c.percent, String)

levels_without_alert = across_tenants(
    select(_running, _percents.c.percent)
    .select_from(_running)
    .join(_percents, literal(value=True))
    .where(
        _running.c.cap > 0,
        _running.c.settled >= share(_running.c.cap, cast(_percents.c.percent, BigInteger)),
        ~exists().where(llm_alerts.c.key == _key),
    )
    .order_by(_running.c.id, _percents.c.percent)
    .limit(bindparam("max_rows")),
    "the schedule looks at the budgets of the whole installation",
)
