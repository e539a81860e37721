"""Tenants: a page of them, one of them with what it has, and changing them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ariadne import EnumType, MutationType, ObjectType, QueryType

from app.cursors import cursor_of, place_at
from app.resolvers.connections import Connection, Slice, by_id
from app.resolvers.context import Info
from app.resolvers.inputs import read_changes
from app.resolvers.problems import Payload, changing
from app.services.billing.of_tenants import TenantSubscription
from app.services.directory.tenant_fields import ProfileUpdate, TenantCreate, TenantUpdate
from app.services.directory.visible import seen_slug
from app.services.licensing.code_list import ListedCode
from app.services.licensing.device_list import ListedDevice
from app.services.licensing.of_tenants import TenantList, TenantPart
from app.services.tenants import changes, deletion, onboarding
from app.services.tenants.details import TenantDetails
from app.services.tenants.tenant_list import list_tenants
from sql.tables.billing import SUBSCRIPTION_STATES

states = EnumType("SubscriptionState", {name.upper(): name for name in (*SUBSCRIPTION_STATES, "none")})
query = QueryType()
mutation = MutationType()
tenant = ObjectType("Tenant")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPayload(Payload):
    """A tenant after a change."""

    tenant: TenantDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTenantPayload(TenantPayload):
    """A new tenant with its first codes in clear, for the only time."""

    activation_codes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTenantPayload(Payload):
    """The slug that is free again."""

    deleted_slug: str | None = None


def by_age(row: TenantDetails) -> str:
    """The cursor of a tenant in the list by age."""
    return cursor_of(place_at(row.created_at, row.id))


@query.field("tenants")
async def resolve_tenants(
    _: Any, info: Info, *, first: int, after: str | None, search: str | None, status: str | None
) -> Connection[TenantDetails]:
    """A page of tenants, newest first."""
    asked = Slice.asked(first, after)
    page = await list_tenants(
        info.context.ctx, page_size=asked.wanted, search=search or "", status=status, after=asked.place
    )
    return asked.connection(page.tenants, by_age, page.total)


@query.field("tenant")
async def resolve_tenant(_: Any, info: Info, *, slug: str | None) -> TenantDetails | None:
    """One tenant."""
    wanted = seen_slug(info.context.ctx, None) if slug is None else slug
    return None if wanted is None else await info.context.loaders.licensing.tenants.load(wanted)


@tenant.field("activationCodesTotal")
def resolve_codes_total(of: TenantDetails, info: Info) -> int:
    """How many activation codes were made for it this month."""
    return of.codes_total


@tenant.field("activationCodesUsed")
def resolve_codes_used(of: TenantDetails, info: Info) -> int:
    """How many of them were used."""
    return of.codes_used


@tenant.field("subscription")
async def resolve_subscription(of: TenantDetails, info: Info) -> TenantSubscription | None:
    """Its current subscription."""
    return await info.context.loaders.licensing.subscriptions.load(of.slug)


@tenant.field("activationCodes")
async def resolve_codes(
    of: TenantDetails, info: Info, *, first: int, after: str | None, status: str | None
) -> Connection[ListedCode]:
    """Its activation codes."""
    asked, loaders, codes = Slice.asked(first, after), info.context.loaders.licensing, TenantList(of.id, status)
    rows = await loaders.codes_of_tenants.load(TenantPart(codes, asked.wanted, asked.place_by_id))
    return asked.connection(rows, by_id, partial(loaders.counts_of_codes.load, codes))


@tenant.field("devices")
async def resolve_devices(of: TenantDetails, info: Info, *, first: int, after: str | None) -> Connection[ListedDevice]:
    """Its devices."""
    asked, loaders, devices = Slice.asked(first, after), info.context.loaders.licensing, TenantList(of.id)
    rows = await loaders.devices_of_tenants.load(TenantPart(devices, asked.wanted, asked.place_by_id))
    return asked.connection(rows, by_id, partial(loaders.counts_of_devices.load, devices))


@mutation.field("createTenant")
@changing(CreateTenantPayload)
async def resolve_create_tenant(_: Any, info: Info, *, input: dict[str, Any]) -> CreateTenantPayload:  # noqa: A002 - the argument's name
    """Admit a tenant."""
    wanted = read_changes(input, TenantCreate)
    new = await onboarding.create_tenant(info.context.ctx, plan_name=wanted.subscription_plan, **wanted.columns())
    return CreateTenantPayload(tenant=new.details, activation_codes=new.codes)


@mutation.field("updateTenant")
@changing(TenantPayload)
async def resolve_update_tenant(_: Any, info: Info, *, input: dict[str, Any]) -> TenantPayload:  # noqa: A002 - the argument's name
    """Change a tenant."""
    sent = {name: value for name, value in input.items() if name != "slug"}
    wanted = read_changes(sent, TenantUpdate)
    plan_name = wanted.subscription_plan or None
    ctx, overrides = info.context.ctx, wanted.overrides()
    changed = await changes.update_tenant(ctx, input["slug"], wanted.changes(), plan_name, overrides)
    return TenantPayload(tenant=changed)


@mutation.field("deleteTenant")
@changing(DeleteTenantPayload)
async def resolve_delete_tenant(_: Any, info: Info, *, slug: str) -> DeleteTenantPayload:
    """Delete a tenant."""
    await deletion.delete_tenant(info.context.ctx, slug)
    return DeleteTenantPayload(deleted_slug=slug)


@mutation.field("updateProfile")
@changing(TenantPayload)
async def resolve_update_profile(_: Any, info: Info, *, input: dict[str, Any]) -> TenantPayload:  # noqa: A002 - the argument's name
    """Change the tenant that asks."""
    wanted = read_changes(input, ProfileUpdate)
    return TenantPayload(tenant=await changes.update_own_profile(info.context.ctx, wanted.changes()))
