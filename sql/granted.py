"""What a subscription grants: its own figure where an operator has set one, else its plan's."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func

from sql.tables import plans, subscriptions

runs: ColumnElement[int] = func.coalesce(subscriptions.c.monthly_run_quota_override, plans.c.monthly_run_quota)
devices: ColumnElement[int | None] = func.coalesce(subscriptions.c.max_devices_override, plans.c.max_devices)
