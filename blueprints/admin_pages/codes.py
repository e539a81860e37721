"""The pages of a tenant's activation codes: seeing them, making them, and revoking one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sanic import Request
from sanic.response import HTTPResponse

from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.errors import ConflictError, PortalError, TenantNotFoundError, ValidationError
from app.services.directory.lookup import tenant_named
from app.services.licensing.code_fields import Label
from app.services.licensing.code_list import code_of_tenant, list_codes
from app.services.licensing.codes import MAX_CODES, MAX_DAYS, MAX_LABEL, MAX_USES, generate_codes, revoke_code
from blueprints.admin_pages import pages
from blueprints.admin_pages.tenant_choice import (
    PAGE_SIZE,
    asked_page,
    asked_tenant,
    choose_tenant,
    list_address,
    page_links,
    read_id,
)
from blueprints.web.fields import blank_is_null
from blueprints.web.form_fields import Filled, read_fields
from blueprints.web.pages import View, see_other
from blueprints.web.submissions import made_once, new_form_key

PATH = "/admin/codes"
BOUNDS = {"count": MAX_CODES, "ttl_days": MAX_DAYS, "label": MAX_LABEL, "max_uses": MAX_USES}
UNTOUCHED = Filled({"count": 5, "ttl_days": "", "label": "", "max_uses": 1}, {})
SENT_BEFORE = "This form was sent before: what it made is in the list. Send it again to make more."


class NewCodes(BaseModel):
    """The form that makes codes; without ``ttl_days`` they never expire."""

    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)

    count: Annotated[int, Field(ge=1, le=MAX_CODES)] = 1
    ttl_days: Annotated[int | None, Field(ge=1, le=MAX_DAYS)] = None
    label: Annotated[Label | None, BeforeValidator(blank_is_null)] = None
    max_uses: Annotated[int, Field(ge=1, le=MAX_USES)] = 1


@pages.page("GET", PATH, caller=operator(Permission.CODES_READ), template="codes.html", menu="Codes")
async def codes_page(request: Request, ctx: Context) -> View:
    """A tenant's codes, newest first, and the form that makes more."""
    return await _codes(ctx, asked_tenant(request), page=asked_page(request))


@pages.page("POST", "/admin/codes/generate", caller=operator(Permission.CODES_WRITE), template="codes.html")
async def generate_codes_page(request: Request, ctx: Context, form: Mapping[str, str]) -> View:
    """Make codes, and show them in this answer alone."""
    slug = form.get("tenant_slug", "")
    try:
        tenant = await tenant_named(ctx, slug)
        wish = read_fields(NewCodes, form)
        make = partial(generate_codes, tenant_slug=tenant.slug, **wish.model_dump())
        new_codes = await made_once(request, ctx, form, make)
    except (ConflictError, TenantNotFoundError, ValidationError) as error:
        words = SENT_BEFORE if isinstance(error, ConflictError) else ""
        return await _codes(ctx, slug, form=Filled.with_error({**UNTOUCHED.values, **form}, error, words), error=error)
    return await _codes(ctx, slug, new_codes=new_codes)


@pages.page("GET", "/admin/codes/revoke", caller=operator(Permission.CODES_WRITE), template="revoke_code.html")
async def ask_to_revoke_code(request: Request, ctx: Context) -> View:
    """Ask before a code is revoked, because that is for good."""
    tenant = await tenant_named(ctx, asked_tenant(request))
    code = await code_of_tenant(ctx, tenant.slug, read_id(request.args.get("code_id", "")))
    return View({"tenant": tenant, "code": code})


@pages.page("POST", "/admin/codes/revoke", caller=operator(Permission.CODES_WRITE))
async def revoke_code_page(request: Request, ctx: Context, form: Mapping[str, str]) -> HTTPResponse:
    """Revoke a code, and lead back to its tenant's."""
    tenant = await tenant_named(ctx, form.get("tenant_slug", ""))
    await revoke_code(ctx, tenant.slug, code_id=read_id(form.get("code_id", "")))
    return see_other(list_address(PATH, tenant.slug))


async def _codes(
    ctx: Context,
    slug: str,
    *,
    page: int = 1,
    new_codes: Sequence[str] = (),
    form: Filled = UNTOUCHED,
    error: PortalError | None = None,
) -> View:
    choice = await choose_tenant(ctx, slug)
    values: dict[str, object] = {
        "path": PATH,
        "choice": choice,
        "may_write": Permission.CODES_WRITE in ctx.actor.permissions,
        "new_codes": new_codes,
        "form": form,
        "form_key": new_form_key(),
        "bounds": BOUNDS,
    }
    if choice.tenant is not None:
        listed = await list_codes(ctx, tenant_slug=choice.tenant.slug, page=page, page_size=PAGE_SIZE)
        values |= {"codes": listed.rows, "total": listed.total, "links": page_links(page, listed.total)}
    error = choice.error or error
    status = error.status if error else 201 if new_codes else 200
    return View(values, status, error)
