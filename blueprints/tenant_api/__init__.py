"""What a tenant's own front end calls: signing in, and what a session may see and change."""

from __future__ import annotations

from blueprints.web.operations import Api

api = Api("tenant", "/api/tenant")

# Each module registers its operations on the one above.
from blueprints.tenant_api import auth, billing, codes, devices, profile, projects, run_events, runs  # noqa: E402

__all__ = ["api", "auth", "billing", "codes", "devices", "profile", "projects", "run_events", "runs"]
