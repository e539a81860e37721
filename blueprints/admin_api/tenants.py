"""Tenants: listing, admitting, changing and deleting them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import CAMEL
from app.services.directory.tenant_fields import TenantCreate, TenantUpdate
from app.services.tenants import changes, deletion, details, onboarding, tenant_list
from app.services.tenants.tenant_list import SortField
from blueprints.admin_api import api
from blueprints.web.fields import NO_NUL, TENANT_SLUG_IN_PATH, PageNumber, RequestModel
from blueprints.web.tenant_fields import TenantAnswer

Status = Literal["active", "past_due", "canceled", "unpaid", "trialing", "suspended", "none"]
ERRORS = (errors.TenantNotFoundError,)


class TenantQuery(RequestModel):
    """Which tenants, in which order."""

    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=1000, description="Tenants a page.")] = 10
    search: Annotated[
        str, Field(max_length=200, pattern=NO_NUL, description="A part of the name or the slug, in any case.")
    ] = ""
    status: Annotated[Status | None, Field(description="The subscription's state, or `none`.")] = None
    sort_field: Annotated[SortField, Field(description="`usage` and `usage_current` mean the same.")] = "created_at"
    sort_direction: Annotated[Literal["asc", "desc"], Field(description="Upwards or downwards.")] = "desc"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCollection:
    """A page of tenants; where the total is capped, there are more."""

    __pydantic_config__ = CAMEL
    items: list[TenantAnswer]
    total: int
    total_is_capped: bool
    page: int
    page_size: int
    total_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantAdmitted(TenantAnswer):
    """A new tenant, with its first codes."""

    __pydantic_config__ = CAMEL
    activation_codes: Annotated[list[str], Field(description="Its first codes in clear, shown this once.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactTenant:
    """Whose things would go."""

    id: int
    name: str
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """How many."""

    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers(Number):
    """How many, and in which state."""

    active: int
    revoked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionImpact:
    """What would go with a tenant."""

    tenant: ImpactTenant
    activation_codes: Numbers
    devices: Numbers
    subscriptions: Number
    usage_events: Number
    usage_rollups: Number
    llm_projects: Number
    llm_agents: Number
    sessions: Number


@api.operation(
    "GET",
    "/tenants",
    caller=operator(Permission.TENANTS_READ),
    query=TenantQuery,
    answers=TenantCollection,
)
async def tenants(ctx: Context, query: TenantQuery) -> TenantCollection:
    """List tenants; equals stand newest first.

    The total is exact for all tenants, and for a filter up to 10,000.
    """
    listed = await tenant_list.list_tenants(
        ctx,
        page=query.page,
        page_size=query.page_size,
        search=query.search,
        status=query.status,
        sort_field=query.sort_field,
        is_descending=query.sort_direction == "desc",
    )
    return TenantCollection(
        items=[TenantAnswer.of(tenant) for tenant in listed.tenants],
        total=listed.total.total,
        total_is_capped=listed.total.is_capped,
        page=query.page,
        page_size=query.page_size,
        total_pages=listed.total.pages(query.page_size),
    )


@api.operation(
    "POST",
    "/tenants",
    caller=operator(Permission.TENANTS_WRITE),
    status=201,
    body=TenantCreate,
    answers=TenantAdmitted,
    errors=(errors.TenantConflictError, errors.PlanNameNotFoundError),
    creates=True,
)
async def create_tenant(ctx: Context, body: TenantCreate) -> TenantAdmitted:
    """Admit a tenant with an active subscription to a plan.

    A tenth of the plan's monthly runs, at least one and at most 10,000, is made as activation codes that never expire.
    They are shown in this answer and never again. A welcome, which holds none, goes to an e-mail address that is given.
    """
    new = await onboarding.create_tenant(ctx, plan_name=body.subscription_plan, **body.columns())
    return TenantAdmitted.of(new.details, activation_codes=new.codes)


@api.operation(
    "GET",
    "/tenants/{tenant_slug}",
    caller=operator(Permission.TENANTS_READ),
    answers=TenantAnswer,
    errors=ERRORS,
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def tenant(ctx: Context, tenant_slug: str) -> TenantAnswer:
    """One tenant."""
    return TenantAnswer.of(await details.tenant_details(ctx, tenant_slug))


@api.operation(
    "PUT",
    "/tenants/{tenant_slug}",
    caller=operator(Permission.TENANTS_WRITE),
    body=TenantUpdate,
    answers=TenantAnswer,
    errors=(errors.PlanNameNotFoundError, *ERRORS),
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def update_tenant(ctx: Context, body: TenantUpdate, tenant_slug: str) -> TenantAnswer:
    """Change a tenant; what is absent stays as it is, null or a blank clears what may be absent.

    A plan is set on the current subscription, whose state stays; without one, an active one is made. Overrides are the
    subscription's own figures: they hold instead of the plan's, whichever plan that is, until they are null again.
    """
    plan_name = body.subscription_plan or None
    changed = await changes.update_tenant(ctx, tenant_slug, body.changes(), plan_name, body.overrides())
    return TenantAnswer.of(changed)


@api.operation(
    "GET",
    "/tenants/{tenant_slug}/deletion-impact",
    caller=operator(Permission.TENANTS_READ),
    answers=DeletionImpact,
    errors=ERRORS,
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def deletion_impact(ctx: Context, tenant_slug: str) -> DeletionImpact:
    """What would go with a tenant."""
    found, has = await deletion.deletion_impact(ctx, tenant_slug)
    return DeletionImpact(
        tenant=ImpactTenant(id=found.id, name=found.name, slug=found.slug),
        activation_codes=Numbers(total=has.codes, active=has.active_codes, revoked=has.revoked_codes),
        devices=Numbers(total=has.devices, active=has.devices - has.revoked_devices, revoked=has.revoked_devices),
        subscriptions=Number(total=has.subscriptions),
        usage_events=Number(total=has.usage_events),
        usage_rollups=Number(total=has.usage_rollups),
        llm_projects=Number(total=has.projects),
        llm_agents=Number(total=has.agents),
        sessions=Number(total=has.sessions),
    )


@api.operation(
    "DELETE",
    "/tenants/{tenant_slug}",
    caller=operator(Permission.TENANTS_DELETE),
    status=204,
    answers=None,
    errors=ERRORS,
    path_parameters=TENANT_SLUG_IN_PATH,
)
async def delete_tenant(ctx: Context, tenant_slug: str) -> None:
    """Delete a tenant with everything that is its own, for good.

    From this answer on it is not found, its devices and sessions are refused, and its slug is free. What it had is
    removed in the background: `GET /admin/api/tenant-deletions` says how far that is. The audit trail keeps what
    happened.
    """
    await deletion.delete_tenant(ctx, tenant_slug)
