"""Activation codes: a page of them, one of them, making and revoking them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ariadne import EnumType, MutationType, ObjectType, QueryType

from app.resolvers.connections import Connection, Slice, by_id
from app.resolvers.context import Info
from app.resolvers.inputs import read_changes, row_id
from app.resolvers.problems import Payload, changing
from app.resolvers.tenants import TenantPayload
from app.services.directory.visible import seen_slug
from app.services.licensing import codes
from app.services.licensing.code_fields import GenerateCodes
from app.services.licensing.code_list import ListedCode, list_codes
from app.services.tenants.details import TenantDetails

statuses = EnumType("ActivationCodeStatus", {name.upper(): name for name in ("active", "used", "expired", "revoked")})
query = QueryType()
mutation = MutationType()
code = ObjectType("ActivationCode")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratePayload(TenantPayload):
    """New codes in clear, for the only time."""

    codes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePayload(Payload):
    """A code after a change."""

    activation_code: ListedCode | None = None


@query.field("activationCodes")
async def resolve_codes(
    _: Any,
    info: Info,
    *,
    first: int,
    after: str | None,
    tenant_slug: str | None,
    status: str | None,
    search: str | None,
) -> Connection[ListedCode]:
    """A page of codes, newest first."""
    asked, ctx = Slice.asked(first, after), info.context.ctx
    filters: dict[str, Any] = {"tenant_slug": seen_slug(ctx, tenant_slug), "status": status, "search": search or ""}
    page = await list_codes(ctx, **filters, page_size=asked.wanted, after=asked.place_by_id)
    return asked.connection(page.rows, by_id, page.total)


@query.field("activationCode")
async def resolve_code(_: Any, info: Info, *, id: str) -> ListedCode | None:  # noqa: A002 - the argument's name
    """One code."""
    return await info.context.loaders.licensing.codes.load(row_id(id))


@code.field("tenant")
async def resolve_tenant(of: ListedCode, info: Info) -> TenantDetails | None:
    """Whose devices it binds."""
    return await info.context.loaders.licensing.tenants.load(of.tenant_slug)


@mutation.field("generateActivationCodes")
@changing(GeneratePayload)
async def resolve_generate_codes(_: Any, info: Info, *, input: dict[str, Any]) -> GeneratePayload:  # noqa: A002 - the argument's name
    """Make codes."""
    wanted = read_changes(input, GenerateCodes)
    made = await codes.generate_codes(info.context.ctx, wanted.tenant_slug, **wanted.wanted())
    tenant = await info.context.loaders.licensing.tenants.load(wanted.tenant_slug)
    return GeneratePayload(tenant=tenant, codes=made)


@mutation.field("revokeActivationCode")
@changing(CodePayload)
async def resolve_revoke_code(_: Any, info: Info, *, id: str) -> CodePayload:  # noqa: A002 - the argument's name
    """Revoke a code."""
    revoked = await codes.revoke_code_by_id(info.context.ctx, row_id(id))
    return CodePayload(activation_code=await info.context.loaders.licensing.codes.load(revoked.id))
