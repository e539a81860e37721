"""The schedules of an installation, and the errands that run for rows."""

from __future__ import annotations

from app.jobs.work import Schedule
from app.services.audit import chain
from app.services.idempotency import purge_idempotent_answers
from app.services.ledger.upkeep import check_ledger
from app.services.licensing.idle_seats import free_idle_seats
from app.services.llm.alert_mails import ALERT_MAILS
from app.services.llm.budget_alerts import raise_budget_alerts
from app.services.llm.settlement import close_abandoned_calls
from app.services.payments.departures import DEPARTURES
from app.services.payments.ends import end_graces_and_trials
from app.services.payments.folding import FOLDS
from app.services.payments.plan_prices import refresh_prices
from app.services.payments.reconciliation import reconcile_nightly
from app.services.payments.upkeep import remove_old_facts
from app.services.runs.errand import TASKS
from app.services.runs.upkeep import end_overdue_runs, remove_old_files
from app.services.tenants.deletion import DELETIONS
from app.services.tenants.deliveries import DELIVERIES
from app.services.upkeep import months, statistics, usage
from app.services.upkeep.sessions import purge_sessions
from app.settings import Settings

# Work that runs once for a row, soon after the row is committed.
ERRANDS = (DELIVERIES, DELETIONS, DEPARTURES, ALERT_MAILS, TASKS, FOLDS)
# Nothing depends on the times: for a month that is not opened, the lists add up the daily sums.
MONTHS_CRON = "*/15 * * * *"
# What a dead process holds of a budget is free for others after a minute at most.
ABANDONED_CALLS_CRON = "* * * * *"

# What a run holds of its tenant's trial and of this installation's processes is free a minute after its time is up.
OVERDUE_RUNS_CRON = "* * * * *"

# Plans count in days.
IDLE_SEATS_CRON = "17 * * * *"


def schedules(settings: Settings) -> list[Schedule]:
    """The schedules; each slot runs once for all workers together."""
    return [
        Schedule("rollup-check", settings.rollup_check_cron, usage.check_rollups),
        Schedule("session-purge", settings.session_purge_cron, purge_sessions),
        Schedule("months", MONTHS_CRON, months.keep_months),
        Schedule("retention", settings.retention_cron, usage.apply_retention),
        Schedule("billing-facts", settings.retention_cron, remove_old_facts),
        Schedule("idempotency-purge", settings.session_purge_cron, purge_idempotent_answers),
        Schedule("audit-seal", settings.audit_seal_cron, chain.seal_events),
        Schedule("statistics-fold", settings.statistics_fold_cron, statistics.fold_statistics),
        Schedule("abandoned-calls", ABANDONED_CALLS_CRON, close_abandoned_calls),
        Schedule("ledger-check", settings.rollup_check_cron, check_ledger),
        Schedule("statistics-check", settings.statistics_check_cron, statistics.check_statistics),
        Schedule("overdue-runs", OVERDUE_RUNS_CRON, end_overdue_runs),
        Schedule("idle-seats", IDLE_SEATS_CRON, free_idle_seats),
        Schedule("run-files", settings.retention_cron, remove_old_files),
        Schedule("billing-ends", settings.billing_ends_cron, end_graces_and_trials),
        Schedule("billing-reconcile", settings.billing_reconcile_cron, reconcile_nightly),
        Schedule("billing-prices", settings.billing_prices_cron, refresh_prices),
        Schedule("budget-alerts", settings.budget_alerts_cron, raise_budget_alerts),
    ]
