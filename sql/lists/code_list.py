"""Pages of the activation codes of one or all tenants, for operators."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Select, bindparam, case, literal, or_, select

from sql.counting import PAGE_SIZE, SKIP, bounded_count, page_with_total, total_of
from sql.hidden import is_shown, tenant_is_shown
from sql.matching import (
    any_of,
    contains_pattern,
    is_behind_id,
    is_of_tenant_named,
    named_tenant_matches,
    page_ids,
    tenants_matching,
)
from sql.scope import across_tenants
from sql.tables import activation_codes, tenants

_REASON = "operators see the codes of all tenants"

code_status = case(
    (activation_codes.c.revoked_at.is_not(None), "revoked"),
    (activation_codes.c.expires_at <= bindparam("now"), "expired"),
    (activation_codes.c.use_count >= activation_codes.c.max_uses, "used"),
    else_="active",
)


code_details = (
    activation_codes.c.id,
    activation_codes.c.hint,
    tenants.c.name.label("tenant"),
    tenants.c.slug.label("tenant_slug"),
    activation_codes.c.label,
    code_status.label("status"),
    activation_codes.c.expires_at,
    activation_codes.c.used_at,
    activation_codes.c.created_at,
    activation_codes.c.use_count,
    activation_codes.c.max_uses,
)


def code_page(
    is_of_tenant: bool, search: Literal["way", "code"] | None, has_status: bool, is_after_cursor: bool = False
) -> Select[Any]:
    """A page of codes, newest first, with their total; the total is 0 where the caller has counted already.

    ``search`` is ``way`` to compare each code while the page is read, ``code`` to look one whole code up, or None.
    """
    matches = _codes(is_of_tenant, search, has_status)
    is_counted_here = is_of_tenant or search == "code"
    stored_total = literal(0) if search or has_status else total_of("codes_created")
    rows = matches.where(is_behind_id(activation_codes)) if is_after_cursor else matches
    page = rows.order_by(activation_codes.c.id.desc()).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    total, source = page_with_total(bounded_count(matches) if is_counted_here else stored_total, page)
    statement = (
        select(total, *code_details)
        .select_from(source)
        .outerjoin(activation_codes, activation_codes.c.id == page.c.id)
        .outerjoin(tenants, tenants.c.id == activation_codes.c.tenant_id)
        .order_by(activation_codes.c.id.desc())
    )
    return across_tenants(statement, _REASON)


# The codes whose ids a search has returned.
codes_by_ids = across_tenants(
    select(literal(0).label("total"), *code_details)
    .select_from(page_ids)
    .join(activation_codes, activation_codes.c.id == page_ids.c.id)
    .join(tenants, tenants.c.id == activation_codes.c.tenant_id)
    .where(tenant_is_shown)
    .order_by(activation_codes.c.id.desc()),
    _REASON,
)


def codes_matching(has_status: bool, is_after_cursor: bool = False) -> Select[Any]:
    """The codes whose label, hint or tenant's name matches a search, as a page of ``ids_with_total``."""
    codes = select(activation_codes.c.id).where(is_shown(activation_codes))
    labelled = codes.where(contains_pattern(activation_codes.c.folded_label))
    hinted = codes.where(activation_codes.c.hint == bindparam("hint"))
    owned = codes.join(tenants, tenants.c.id == activation_codes.c.tenant_id).where(
        contains_pattern(tenants.c.folded_name)
    )
    searches = [labelled, hinted, owned]
    if has_status:
        searches = [search.where(code_status == bindparam("status")) for search in searches]
    return across_tenants(any_of(searches, is_after_cursor=is_after_cursor), _REASON)


slug_of_code = across_tenants(
    select(tenants.c.slug)
    .join(activation_codes, activation_codes.c.tenant_id == tenants.c.id)
    .where(activation_codes.c.id == bindparam("code_id"), tenant_is_shown),
    "an operator names a code by its id alone",
)


def _codes(is_of_tenant: bool, search: str | None, has_status: bool) -> Select[Any]:
    matches = select(activation_codes.c.id)
    matches = matches.where(is_of_tenant_named(activation_codes) if is_of_tenant else is_shown(activation_codes))
    if search == "code":
        matches = matches.where(
            activation_codes.c.hint == bindparam("hint"), activation_codes.c.code_hash == bindparam("code_hash")
        )
    elif search:
        matches = matches.where(
            or_(
                activation_codes.c.hint == bindparam("hint"),
                contains_pattern(activation_codes.c.folded_label),
                named_tenant_matches() if is_of_tenant else activation_codes.c.tenant_id.in_(tenants_matching()),
            )
        )
    return matches.where(code_status == bindparam("status")) if has_status else matches


code_of_tenant = (
    select(*code_details)
    .join(tenants, tenants.c.id == activation_codes.c.tenant_id)
    .where(
        activation_codes.c.tenant_id == bindparam("tenant_id"),
        activation_codes.c.id == bindparam("code_id"),
        tenant_is_shown,
    )
)
