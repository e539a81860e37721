"""The tables, one module per aggregate; importing this package declares all of them on ``metadata``."""

from sql.tables.billing import plans, subscriptions
from sql.tables.columns import metadata
from sql.tables.events import platform_events
from sql.tables.licensing import activation_codes, devices, refresh_families, signing_keys
from sql.tables.tenants import tenants
from sql.tables.usage import usage_events, usage_rollups
from sql.tables.workers import leases, worker_heartbeats

__all__ = [
    "activation_codes",
    "devices",
    "leases",
    "metadata",
    "plans",
    "platform_events",
    "refresh_families",
    "signing_keys",
    "subscriptions",
    "tenants",
    "usage_events",
    "usage_rollups",
    "worker_heartbeats",
]
