"""Everything that runs by itself: the schedules of an installation, and the errands that are done for rows."""

from __future__ import annotations

from app.jobs.work import Schedule
from app.services.audit import chain
from app.services.idempotency import purge_idempotent_answers
from app.services.tenants.deliveries import DELIVERIES
from app.services.upkeep import months, statistics, usage
from app.services.upkeep.sessions import purge_sessions
from app.settings import Settings

# What is done once for a row, soon after its commit.
ERRANDS = (DELIVERIES,)
# Nothing depends on when it runs: a month that is not opened is added up.
MONTHS_CRON = "*/15 * * * *"


def schedules(settings: Settings) -> list[Schedule]:
    """What runs by itself, once for all workers."""
    return [
        Schedule("rollup-check", settings.rollup_check_cron, usage.check_rollups),
        Schedule("session-purge", settings.session_purge_cron, purge_sessions),
        Schedule("months", MONTHS_CRON, months.keep_months),
        Schedule("retention", settings.retention_cron, usage.apply_retention),
        Schedule("idempotency-purge", settings.session_purge_cron, purge_idempotent_answers),
        Schedule("audit-seal", settings.audit_seal_cron, chain.seal_events),
        Schedule("statistics-fold", settings.statistics_fold_cron, statistics.fold_statistics),
        Schedule("statistics-check", settings.statistics_check_cron, statistics.check_statistics),
    ]
