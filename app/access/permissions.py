"""Permissions of operators and API tokens, and the roles that group them."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """The right to read or change one kind of resource, as ``resource:action``."""

    API_TOKENS_MANAGE = "api_tokens:manage"
    BILLING_WRITE = "billing:write"
    CODES_READ = "codes:read"
    CODES_WRITE = "codes:write"
    DASHBOARD_READ = "dashboard:read"
    DEVICES_READ = "devices:read"
    DEVICES_WRITE = "devices:write"
    EVENTS_READ = "events:read"
    LLM_ALERTS_READ = "llm_alerts:read"
    LLM_ALERTS_WRITE = "llm_alerts:write"
    LLM_PRICES_READ = "llm_prices:read"
    LLM_PRICES_WRITE = "llm_prices:write"
    LLM_SETTINGS_READ = "llm_settings:read"
    LLM_SETTINGS_WRITE = "llm_settings:write"
    LLM_TEMPLATES_DELETE = "llm_templates:delete"
    LLM_TEMPLATES_READ = "llm_templates:read"
    LLM_USAGE_READ = "llm_usage:read"
    PLANS_READ = "plans:read"
    PLANS_WRITE = "plans:write"
    PROJECTS_DELETE = "projects:delete"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
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
# Only owners: plans and models' prices are money, API tokens give access, the deletion of a tenant cannot be undone.
_OWNER_PERMISSIONS = frozenset(
    {
        Permission.API_TOKENS_MANAGE,
        Permission.LLM_PRICES_WRITE,
        Permission.PLANS_WRITE,
        Permission.TENANTS_DELETE,
    }
)
_PERMISSIONS = {
    Role.OWNER: frozenset(Permission),
    Role.OPERATOR: frozenset(Permission) - _OWNER_PERMISSIONS,
    Role.READ_ONLY: _READ_PERMISSIONS,
}
