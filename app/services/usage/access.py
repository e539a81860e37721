"""Who may see and report a tenant's usage."""

from __future__ import annotations

from app.errors import TenantMismatchError
from app.services.licensing.standing import Standing


def check_tenant(device: Standing, tenant_slug: str) -> None:
    """Raise TenantMismatchError for any slug but the device's own, whether such a tenant exists or not."""
    if device.tenant_slug != tenant_slug:
        raise TenantMismatchError
