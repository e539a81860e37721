"""Activation codes of all tenants: listing, making and revoking them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.api_document import DATABASE_ERRORS
from app.services.licensing import codes as activation_codes
from app.services.licensing import license_lists
from app.services.licensing.codes import MAX_CODES, MAX_DAYS, MAX_USES
from app.services.licensing.license_lists import ListedCode
from blueprints.admin_api import api
from blueprints.web.fields import NO_NUL, CamelAnswer, RequestModel, TenantSlug, blank_is_null

PAGE_SIZES = (10, 25, 50, 100, 200)
USUAL_PAGE_SIZE = 25
MAX_PAGES = 10**9
Label = Annotated[str, Field(max_length=255, pattern=NO_NUL)]
STATUSES = ("active", "expired", "used", "revoked")


class CodeQuery(RequestModel):
    """Which codes."""

    tenant_slug: Annotated[TenantSlug | None, Field(description="Only this tenant's.")] = None
    status: Annotated[
        str | None, Field(description="active, expired, used or revoked, as it is shown; other words mean all.")
    ] = None
    search: Annotated[
        str,
        Field(max_length=200, pattern=NO_NUL, description="A part of hint, label or tenant's name, or a whole code."),
    ] = ""
    page: Annotated[int, Field(ge=1, le=MAX_PAGES, description="Which page, from 1.")] = 1
    page_size: Annotated[int, Field(description="10, 25, 50, 100 or 200; anything else means 25.")] = USUAL_PAGE_SIZE

    @field_validator("status")
    @classmethod
    def _known(cls, status: str | None) -> str | None:
        return status if status in STATUSES else None

    @field_validator("page_size")
    @classmethod
    def _offered(cls, page_size: int) -> int:
        return page_size if page_size in PAGE_SIZES else USUAL_PAGE_SIZE


class CodeAnswer(CamelAnswer):
    """A code after its creation: its text is shown once and stored nowhere."""

    id: int
    code: Annotated[None, Field(description="Always null.")] = None
    hint: Annotated[str, Field(description="The last four characters.")]
    tenant: str
    tenant_slug: str
    label: str | None
    status: str
    expires_at: datetime | None
    used_at: datetime | None
    created_at: datetime
    use_count: int
    max_uses: int


class CodePage(BaseModel):
    """A page of codes; where the total is capped, there are more."""

    codes: list[CodeAnswer]
    total: int
    total_is_capped: bool
    page: int
    page_size: int
    total_pages: int


class GenerateCodes(RequestModel):
    """New codes for a tenant."""

    tenant_slug: TenantSlug
    count: Annotated[int, Field(ge=1, le=MAX_CODES)] = 1
    ttl_days: Annotated[int | None, Field(ge=0, le=MAX_DAYS, description="0 or null: they never expire.")] = 365
    label: Annotated[Label | None, BeforeValidator(blank_is_null)] = None
    max_uses: Annotated[int, Field(ge=1, le=MAX_USES, description="Devices that each may activate.")] = 1


class GeneratedCodes(BaseModel):
    """The new codes in clear, for the only time."""

    success: bool = True
    message: str
    codes: list[str]


class Done(BaseModel):
    """What was done."""

    success: bool = True
    message: str


@api.operation(
    "GET",
    "/codes",
    caller=operator(Permission.CODES_READ),
    query=CodeQuery,
    answers=CodePage,
    errors=DATABASE_ERRORS,
)
async def codes(ctx: Context, query: CodeQuery) -> dict[str, Any]:
    """List activation codes, newest first.

    The total is exact for all codes, and for a filter up to 10,000.
    """
    found = await license_lists.list_all_codes(
        ctx,
        tenant_slug=query.tenant_slug,
        status=query.status,
        search=query.search,
        page=query.page,
        page_size=query.page_size,
    )
    return {
        "codes": [_shown(code) for code in found.rows],
        "total": found.total.total,
        "total_is_capped": found.total.is_capped,
        "page": query.page,
        "page_size": query.page_size,
        "total_pages": found.total.pages(query.page_size),
    }


def _shown(code: ListedCode) -> dict[str, Any]:
    """The members of a CodeAnswer, as they are: what the database has given is not checked again."""
    return {
        "id": code.id,
        "code": None,
        "hint": code.hint,
        "tenant": code.tenant,
        "tenantSlug": code.tenant_slug,
        "label": code.label,
        "status": code.status,
        "expiresAt": code.expires_at,
        "usedAt": code.used_at,
        "createdAt": code.created_at,
        "useCount": code.use_count,
        "maxUses": code.max_uses,
    }


@api.operation(
    "POST",
    "/codes/generate",
    caller=operator(Permission.CODES_WRITE),
    body=GenerateCodes,
    answers=GeneratedCodes,
    errors=(errors.TenantNotFoundError, *DATABASE_ERRORS),
    creates=True,
)
async def generate_codes(ctx: Context, body: GenerateCodes) -> GeneratedCodes:
    """Make activation codes; they are shown here and never again."""
    made = await activation_codes.generate_codes(
        ctx,
        body.tenant_slug,
        count=body.count,
        ttl_days=body.ttl_days or None,
        label=body.label,
        max_uses=body.max_uses,
    )
    message = f"{len(made)} code{'s' if len(made) > 1 else ''} made. Keep them: they are shown this once."
    return GeneratedCodes(message=message, codes=made)


@api.operation(
    "DELETE",
    "/codes/{code_id:int}",
    caller=operator(Permission.CODES_WRITE),
    answers=Done,
    errors=(errors.CodeNotFoundError, *DATABASE_ERRORS),
    path_parameters={"code_id": "The code's id."},
)
async def revoke_code(ctx: Context, code_id: int) -> Done:
    """Revoke an activation code for good; devices that it has bound go on."""
    revoked = await activation_codes.revoke_code_by_id(ctx, code_id)
    return Done(message=f"The code that ends in {revoked.hint} is revoked.")
