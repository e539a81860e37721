"""Alerts about models: raising each once, listing them, and dismissing one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    Text,
    and_,
    bindparam,
    exists,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from sql.counting import PAGE_SIZE
from sql.dialect import batch_rows, insert
from sql.hidden import is_shown
from sql.scope import across_tenants
from sql.tables import llm_alerts, projects, tenants
from sql.tables.columns import Instant

_REASON = "operators see the alerts of the whole installation"

_COLUMNS = {
    "key": String,
    "type": String,
    "level": String,
    "message": String,
    "details": Text,
    "tenant_id": BigInteger,
    "project_id": String,
    "created_at": Instant,
}
_batch = batch_rows(place=Integer, **_COLUMNS)
_is_raised = exists().where(llm_alerts.c.key == _batch.c.key)

# Those that were raised before are left out first: a schedule repeats them each minute, and each conflict would use up
# an id.
raise_alerts = across_tenants(
    insert(llm_alerts)
    .from_select(
        list(_COLUMNS), select(*(_batch.c[name] for name in _COLUMNS)).where(~_is_raised).order_by(_batch.c.place)
    )
    .on_conflict_do_nothing(index_elements=[llm_alerts.c.key])
    .returning(llm_alerts.c.id, llm_alerts.c.level),
    "an alert about the whole installation has no tenant",
)

# Locked until the alerts that name them are stored: whoever deletes one of them meanwhile waits, and what is gone gets
# no alert.
_named_tenants = batch_rows(id=BigInteger)
tenants_of_alerts = (
    select(tenants.c.id, tenants.c.slug)
    .select_from(_named_tenants)
    .join(tenants, tenants.c.id == _named_tenants.c.id)
    .where(tenants.c.deleted_at.is_(None))
    .order_by(tenants.c.id)
    .with_for_update(of=tenants, read=True, key_share=True)
)
# A project without a tenant stays one without.
_named_projects = batch_rows(project_id=String, tenant_id=BigInteger)
_is_of_tenant = or_(
    projects.c.tenant_id == _named_projects.c.tenant_id,
    and_(projects.c.tenant_id.is_(None), _named_projects.c.tenant_id.is_(None)),
)
projects_of_alerts = (
    select(projects.c.project_id)
    .select_from(_named_projects)
    .join(projects, projects.c.project_id == _named_projects.c.project_id)
    .where(_is_of_tenant, is_shown(projects))
    .order_by(projects.c.id)
    .with_for_update(of=projects, read=True, key_share=True)
)

_shown = (
    llm_alerts.c.id,
    llm_alerts.c.created_at,
    llm_alerts.c.level,
    llm_alerts.c.type,
    llm_alerts.c.message,
    llm_alerts.c.details,
    llm_alerts.c.dismissed_at,
    llm_alerts.c.tenant_id,
    llm_alerts.c.project_id,
)


def _newest(condition: ColumnElement[bool]) -> Select[Any]:
    newest = (
        select(*_shown)
        .where(condition, is_shown(llm_alerts))
        .order_by(llm_alerts.c.created_at.desc(), llm_alerts.c.id.desc())
    )
    # As a subquery, because SQLite knows no LIMIT in a part of a union.
    return select(newest.limit(bindparam("max_rows")).subquery())


# Each half is read from an index of its own.
_candidates = union_all(
    _newest(llm_alerts.c.dismissed_at.is_(None)), _newest(llm_alerts.c.dismissed_at.is_not(None))
).subquery("candidates")

# The newest, first those that nobody has dismissed.
alerts = across_tenants(
    select(_candidates)
    .order_by(_candidates.c.dismissed_at.is_not(None), _candidates.c.created_at.desc(), _candidates.c.id.desc())
    .limit(bindparam("max_rows")),
    _REASON,
)


def alert_page(is_dismissed: bool) -> Select[Any]:
    """A page of the alerts that nobody has dismissed, or of the others, behind a cursor, the newest first."""
    dismissed_at = llm_alerts.c.dismissed_at
    cursor = tuple_(bindparam("cursor_at", type_=Instant), bindparam("cursor_id", type_=BigInteger))
    statement = (
        select(*_shown)
        .where(
            dismissed_at.is_not(None) if is_dismissed else dismissed_at.is_(None),
            tuple_(llm_alerts.c.created_at, llm_alerts.c.id) < cursor,
            is_shown(llm_alerts),
        )
        .order_by(llm_alerts.c.created_at.desc(), llm_alerts.c.id.desc())
        .limit(PAGE_SIZE)
    )
    return across_tenants(statement, _REASON)


alert_by_id = across_tenants(
    select(*_shown).where(llm_alerts.c.id == bindparam("alert_id"), is_shown(llm_alerts)), _REASON
)

# The first dismissal counts.
dismiss_alert = across_tenants(
    update(llm_alerts)
    .where(llm_alerts.c.id == bindparam("of_id"), llm_alerts.c.dismissed_at.is_(None), is_shown(llm_alerts))
    .values(dismissed_at=bindparam("now"), dismissed_by=bindparam("actor"))
    .returning(*_shown),
    "an operator names an alert by its id alone",
)
