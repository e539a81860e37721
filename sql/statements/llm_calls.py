"""Calls of models: for whom one is made, and its row in the usage log."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Date, String, and_, bindparam, null, or_, select, true

from sql.dialect import batch_rows, insert
from sql.hidden import is_shown
from sql.scope import across_tenants
from sql.tables import llm_alerts, llm_calls, projects, tenants
from sql.tables.columns import Instant

# Nobody calls a model for a project whose tenant is being deleted.
project_owner = across_tenants(
    select(projects.c.tenant_id, projects.c.project_id, projects.c.id.label("project_number"), null().label("run_id"))
    .outerjoin(tenants, tenants.c.id == projects.c.tenant_id)
    .where(
        and_(
            projects.c.project_id == bindparam("project_id"),
            or_(projects.c.tenant_id.is_(None), tenants.c.deleted_at.is_(None)),
        )
    ),
    "an operator names a project by its id alone",
)

# Providers that have refused the key, as long as nobody has dismissed the alert.
refused_keys = across_tenants(
    select(llm_alerts.c.key, llm_alerts.c.created_at)
    .where(
        llm_alerts.c.type == bindparam("type"),
        llm_alerts.c.dismissed_at.is_(None),
        llm_alerts.c.created_at >= bindparam("since"),
        is_shown(llm_alerts),
    )
    .order_by(llm_alerts.c.created_at),
    "the keys are those of the installation",
)

_rows = batch_rows(
    request_id=String,
    tenant_id=BigInteger,
    project_id=String,
    run_id=BigInteger,
    task_id=BigInteger,
    agent_type=String,
    agent_id=String,
    provider=String,
    model=String,
    input_tokens=BigInteger,
    cached_input_tokens=BigInteger,
    output_tokens=BigInteger,
    cost=BigInteger,
    duration_ms=BigInteger,
    success=Boolean,
    cached=Boolean,
    error_message=String,
    task_description=String,
    response_preview=String,
    created_at=Instant,
    day=Date,
)
# A row that is there already stays: whoever settled first has written it.
insert_calls = across_tenants(
    insert(llm_calls)
    .from_select(list(_rows.c.keys()), select(_rows).where(true()))
    .on_conflict_do_nothing(index_elements=[llm_calls.c.request_id]),
    "a call for no tenant has none",
)
