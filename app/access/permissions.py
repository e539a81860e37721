"""What an operator may do, and the roles that permissions make up."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """One kind of thing that an operator may see or change, ``noun:verb``."""

    API_TOKENS_MANAGE = "api_tokens:manage"
    CODES_READ = "codes:read"
    CODES_WRITE = "codes:write"
    DASHBOARD_READ = "dashboard:read"
    DEVICES_READ = "devices:read"
    DEVICES_WRITE = "devices:write"
    EVENTS_READ = "events:read"
    PLANS_READ = "plans:read"
    PLANS_WRITE = "plans:write"
    TENANTS_DELETE = "tenants:delete"
    TENANTS_READ = "tenants:read"
    TENANTS_WRITE = "tenants:write"
    USAGE_READ = "usage:read"
    USAGE_WRITE = "usage:write"


class Role(StrEnum):
    """What an operator or an API token is; the value is what is stored."""

    OWNER = "owner"
    OPERATOR = "operator"
    READ_ONLY = "read_only"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What this role may do."""
        return _PERMISSIONS[self]


_READING = frozenset(permission for permission in Permission if permission.endswith(":read"))
# Plans are money, tokens are access, and a deleted tenant does not come back: those are the owner's.
_OWNING = frozenset({Permission.API_TOKENS_MANAGE, Permission.PLANS_WRITE, Permission.TENANTS_DELETE})
_PERMISSIONS = {
    Role.OWNER: frozenset(Permission),
    Role.OPERATOR: frozenset(Permission) - _OWNING,
    Role.READ_ONLY: _READING,
}
