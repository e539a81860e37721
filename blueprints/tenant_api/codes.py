"""A tenant's own activation codes, by their hints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.access.callers import TENANT
from app.context import Context
from app.services.licensing import code_list
from blueprints.tenant_api import api
from blueprints.web.code_fields import CodePage
from blueprints.web.fields import NO_NUL, PageNumber, RequestModel


class OwnCodeQuery(RequestModel):
    """Which of the tenant's codes."""

    status: Annotated[
        Literal["active", "expired", "used", "revoked"] | None, Field(description="Only those that stand so.")
    ] = None
    search: Annotated[
        str, Field(max_length=200, pattern=NO_NUL, description="A part of the label, a hint, or a whole code.")
    ] = ""
    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=100, description="Codes a page.")] = 25


@api.operation("GET", "/codes", caller=TENANT, query=OwnCodeQuery, answers=CodePage)
async def own_codes(ctx: Context, query: OwnCodeQuery) -> CodePage:
    """The tenant's activation codes, newest first, without their text. The total is exact up to 10,000."""
    listed = await code_list.list_codes(
        ctx,
        tenant_slug=ctx.tenant_slug,
        status=query.status,
        search=query.search,
        page=query.page,
        page_size=query.page_size,
    )
    return CodePage.of(listed, query.page, query.page_size)
