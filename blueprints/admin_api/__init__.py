"""What operators administer: each module adds its operations."""

from __future__ import annotations

from blueprints.web.operations import Api

api = Api("admin", "/admin/api")

from blueprints.admin_api import (  # noqa: E402, F401 - they need ``api``
    codes,
    contact_changes,
    dashboard,
    devices,
    events,
    plans,
    runs,
    sign_in_links,
    stripe,
    tenant_deletions,
    tenants,
    tokens,
)
