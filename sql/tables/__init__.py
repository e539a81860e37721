"""The tables, one module per aggregate; importing this package adds all of them to ``metadata``."""

from sql.tables.billing import plans, subscriptions
from sql.tables.columns import metadata
from sql.tables.events import audit_seals, platform_events
from sql.tables.ledger import ledger_accounts, ledger_entries, ledger_reservations
from sql.tables.licensing import activation_codes, devices, refresh_families, signing_keys
from sql.tables.llm import (
    agent_settings,
    alert_mails,
    learned_templates,
    llm_alerts,
    llm_calls,
    llm_usage_changes,
    llm_usage_days,
    model_answers,
    model_prices,
    setting_changes,
    system_settings,
    template_techs,
)
from sql.tables.operators import api_tokens, operator_sessions, operators, sign_in_links
from sql.tables.projects import projects
from sql.tables.requests import idempotent_answers, rate_windows
from sql.tables.runs import agent_tasks, run_events, run_files, run_folders, runs
from sql.tables.sign_in import contact_changes, deliveries, otp_challenges, tenant_sessions, tenant_sign_in_links
from sql.tables.statistics import statistics, statistics_changes
from sql.tables.stripe import (
    billing_clock,
    billing_facts,
    checkouts,
    invoices,
    payment_methods,
    stripe_customers,
    stripe_prices,
)
from sql.tables.tenants import tenant_deletions, tenants
from sql.tables.usage import monthly_runs, opened_months, run_changes, usage_events, usage_rollups
from sql.tables.workers import errand_calls, leases, worker_heartbeats

__all__ = [
    "activation_codes",
    "agent_settings",
    "agent_tasks",
    "alert_mails",
    "api_tokens",
    "audit_seals",
    "billing_clock",
    "billing_facts",
    "checkouts",
    "contact_changes",
    "deliveries",
    "devices",
    "errand_calls",
    "idempotent_answers",
    "invoices",
    "learned_templates",
    "leases",
    "ledger_accounts",
    "ledger_entries",
    "ledger_reservations",
    "llm_alerts",
    "llm_calls",
    "llm_usage_changes",
    "llm_usage_days",
    "metadata",
    "model_answers",
    "model_prices",
    "monthly_runs",
    "opened_months",
    "operator_sessions",
    "operators",
    "otp_challenges",
    "payment_methods",
    "plans",
    "platform_events",
    "projects",
    "rate_windows",
    "refresh_families",
    "run_changes",
    "run_events",
    "run_files",
    "run_folders",
    "runs",
    "setting_changes",
    "sign_in_links",
    "signing_keys",
    "statistics",
    "statistics_changes",
    "stripe_customers",
    "stripe_prices",
    "subscriptions",
    "system_settings",
    "template_techs",
    "tenant_deletions",
    "tenant_sessions",
    "tenant_sign_in_links",
    "tenants",
    "usage_events",
    "usage_rollups",
    "worker_heartbeats",
]
