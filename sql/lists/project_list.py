"""Pages of the projects of one or all tenants, newest first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, literal, select

from sql.counting import PAGE_SIZE, SKIP, bounded_count, ids_with_total, page_with_total, total_of
from sql.hidden import hidden_too, is_shown
from sql.matching import contains_pattern, page_ids
from sql.scope import across_tenants
from sql.statements.projects import project_details
from sql.tables import projects, tenants

_REASON = "operators see the projects of all tenants, and those of none"
_ORDER = (projects.c.created_at.desc(), projects.c.id.desc())


def project_page(is_of_tenant: bool, is_searched: bool) -> Select[Any]:
    """A page of projects with their total; the total is 0 where the caller has counted already.

    A search compares each project while the page is read.
    """
    matches = select(projects.c.id).where(is_shown(projects))
    if is_of_tenant:
        matches = matches.where(projects.c.tenant_id == bindparam("tenant_id"))
    if is_searched:
        matches = matches.where(contains_pattern(projects.c.searched))
    stored_total = literal(0) if is_searched else total_of("projects_created")
    page = matches.order_by(*_ORDER).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    total, source = page_with_total(bounded_count(matches) if is_of_tenant else stored_total, page)
    statement = (
        select(total, *project_details)
        .select_from(source)
        .outerjoin(projects, projects.c.id == page.c.id)
        .outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
        .order_by(*_ORDER)
    )
    return across_tenants(statement, _REASON)


# The projects whose ids a search has returned.
projects_by_ids = across_tenants(
    hidden_too(
        select(literal(0).label("total"), *project_details)
        .select_from(page_ids)
        .join(projects, projects.c.id == page_ids.c.id)
        .outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
        .order_by(*_ORDER),
        "the ids come from a search that finds no hidden project",
    ),
    _REASON,
)


def projects_matching(words: int) -> Select[Any]:
    """The projects that a search matches, as a page of ``ids_with_total``.

    ``words`` is the number of the search's words that are additional conditions, with the parameters ``word_0`` and on.
    The planner then searches the trigram index for the rarest word alone. For a whole id they would compare the
    projects of each of its trigrams, and most of the trigrams are in nearly every other id too.
    """
    matches = select(projects.c.created_at, projects.c.id).where(
        is_shown(projects), contains_pattern(projects.c.searched)
    )
    matches = matches.where(*(contains_pattern(projects.c.searched, f"word_{number}") for number in range(words)))
    return across_tenants(ids_with_total(matches, lambda rows: [column.desc() for column in rows.c]), _REASON)
