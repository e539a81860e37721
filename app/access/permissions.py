"""Permissions of operators and API tokens, and the roles that group them."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """The right to read or change one kind of resource, as ``resource:action``."""

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
    """The role of an operator or an API token; the database stores its value."""

    OWNER = "owner"
    OPERATOR = "operator"
    READ_ONLY = "read_only"

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions of this role."""
        return _PERMISSIONS[self]


_READ_PERMISSIONS = frozenset(permission for permission in Permission if permission.endswith(":read"))
# Only owners: plans set prices, API tokens give access, and the deletion of a tenant cannot be undone.
_OWNER_PERMISSIONS = frozenset({Permission.API_TOKENS_MANAGE, Permission.PLANS_WRITE, Permission.TENANTS_DELETE})
_PERMISSIONS = {
    Role.OWNER: frozenset(Permission),
    Role.OPERATOR: frozenset(Permission) - _OWNER_PERMISSIONS,
    Role.READ_ONLY: _READ_PERMISSIONS,
}
