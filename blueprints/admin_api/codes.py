"""Activation codes of all tenants: listing, making and revoking them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.services.licensing import code_list
from app.services.licensing import codes as activation_codes
from app.services.licensing.code_fields import GenerateCodes
from blueprints.admin_api import api
from blueprints.web.code_fields import STATUSES, CodePage
from blueprints.web.fields import NO_NUL, PageNumber, RequestModel, TenantSlug

PAGE_SIZES = (10, 25, 50, 100, 200)
USUAL_PAGE_SIZE = 25


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
    page: PageNumber = 1
    page_size: Annotated[int, Field(description="10, 25, 50, 100 or 200; anything else means 25.")] = USUAL_PAGE_SIZE

    @field_validator("status")
    @classmethod
    def _known(cls, status: str | None) -> str | None:
        return status if status in STATUSES else None

    @field_validator("page_size")
    @classmethod
    def _offered(cls, page_size: int) -> int:
        return page_size if page_size in PAGE_SIZES else USUAL_PAGE_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedCodes:
    """The new codes in clear, for the only time."""

    success: bool = True
    message: str
    codes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done."""

    success: bool = True
    message: str


@api.operation(
    "GET",
    "/codes",
    caller=operator(Permission.CODES_READ),
    query=CodeQuery,
    answers=CodePage,
)
async def codes(ctx: Context, query: CodeQuery) -> CodePage:
    """List activation codes, newest first.

    The total is exact for all codes, and for a filter up to 10,000.
    """
    listed = await code_list.list_codes(
        ctx,
        tenant_slug=query.tenant_slug,
        status=query.status,
        search=query.search,
        page=query.page,
        page_size=query.page_size,
    )
    return CodePage.of(listed, query.page, query.page_size)


@api.operation(
    "POST",
    "/codes/generate",
    caller=operator(Permission.CODES_WRITE),
    body=GenerateCodes,
    answers=GeneratedCodes,
    errors=(errors.TenantNotFoundError,),
    creates=True,
    shown_as_is=True,
)
async def generate_codes(ctx: Context, body: GenerateCodes) -> GeneratedCodes:
    """Make activation codes; they are shown here and never again."""
    made = await activation_codes.generate_codes(ctx, body.tenant_slug, **body.wanted())
    message = f"{len(made)} code{'s' if len(made) > 1 else ''} made. Keep them: they are shown this once."
    return GeneratedCodes(message=message, codes=made)


@api.operation(
    "DELETE",
    "/codes/{code_id:int}",
    caller=operator(Permission.CODES_WRITE),
    answers=Done,
    errors=(errors.CodeNotFoundError,),
    path_parameters={"code_id": "The code's id."},
)
async def revoke_code(ctx: Context, code_id: int) -> Done:
    """Revoke an activation code for good; devices that it has bound go on."""
    revoked = await activation_codes.revoke_code_by_id(ctx, code_id)
    return Done(message=f"The code that ends in {revoked.hint} is revoked.")
