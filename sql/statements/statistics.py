"""The dashboards' figures: reading them, folding changes into their sums, and comparing them with the rows."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    not_,
    select,
    true,
    union_all,
)

from sql import granted
from sql.counting import total_of
from sql.dialect import batch_rows, insert
from sql.hidden import hidden_too, is_shown, tenant_is_shown
from sql.moments import quarter_of
from sql.scope import across_tenants
from sql.sums import added, whole_sum
from sql.tables import (
    activation_codes,
    checkouts,
    devices,
    invoices,
    learned_templates,
    plans,
    projects,
    statistics,
    statistics_changes,
    subscriptions,
    tenants,
)
from sql.tables.statistics import NEVER, TOTAL

# The sums that the caller requests: of a metric, over a period under a name of the caller's choice, from the buckets of
# one grain.
_requests = batch_rows(metric=String, period=String, grain=Integer, first_bucket=BigInteger, next_bucket=BigInteger)

_recent = (
    select(
        statistics_changes.c.metric,
        statistics_changes.c.dimension,
        statistics_changes.c.bucket,
        whole_sum(statistics_changes.c.change).label("change"),
    )
    .group_by(statistics_changes.c.metric, statistics_changes.c.dimension, statistics_changes.c.bucket)
    .cte("recent")
)

# A subquery for each request uses the primary key; for a join PostgreSQL would read all sums.
_folded = (
    select(whole_sum(statistics.c.value))
    .where(
        statistics.c.metric == _requests.c.metric,
        statistics.c.grain == _requests.c.grain,
        statistics.c.bucket >= _requests.c.first_bucket,
        statistics.c.bucket < _requests.c.next_bucket,
    )
    .correlate(_requests)
    .scalar_subquery()
)
_folded_sums = select(_requests.c.metric, _requests.c.period, func.coalesce(_folded, 0).label("value"))

_recent_sums = (
    select(_requests.c.metric, _requests.c.period, whole_sum(_recent.c.change).label("value"))
    .select_from(_requests)
    .join(
        _recent,
        and_(
            _recent.c.metric == _requests.c.metric,
            _recent.c.bucket >= _requests.c.first_bucket,
            _recent.c.bucket < _requests.c.next_bucket,
        ),
    )
    .group_by(_requests.c.metric, _requests.c.period)
)

# The folded and the unfolded part in one snapshot; the caller adds them.
sums = union_all(_folded_sums, _recent_sums)

_values = union_all(
    select(statistics.c.dimension, statistics.c.value).where(
        statistics.c.metric == bindparam("metric"), statistics.c.grain == TOTAL
    ),
    select(statistics_changes.c.dimension, statistics_changes.c.change).where(
        statistics_changes.c.metric == bindparam("metric")
    ),
).subquery("values_by_dimension")

# The sum of a metric over all time, for each of its dimensions.
sums_by_dimension = select(_values.c.dimension, whole_sum(_values.c.value).label("value")).group_by(_values.c.dimension)

_is_held = activation_codes.c.revoked_at.is_(None)
_is_open = and_(_is_held, activation_codes.c.use_count < activation_codes.c.max_uses)


def _just_expired(metric: str, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(
        literal(metric).label("metric"),
        literal("expired").label("period"),
        func.count().label("value"),
    ).where(
        activation_codes.c.expires_at >= bindparam("quarter_began"),
        activation_codes.c.expires_at <= bindparam("now"),
        *conditions,
    )


# The sums, the codes that have expired since the current quarter of an hour began, and the number of active tenants.
sums_and_just_expired = across_tenants(
    hidden_too(
        union_all(
            _folded_sums,
            _recent_sums,
            _just_expired("codes_expiring"),
            _just_expired("codes_held", _is_held),
            _just_expired("codes_open", _is_open),
            select(
                literal("subscriptions_active").label("metric"),
                literal("all").label("period"),
                total_of("subscriptions_current", literal(":active", literal_execute=True)).label("value"),
            ),
        ),
        "the kept figures count codes until they are gone",
    ),
    "the dashboard and the list show the codes of all tenants together",
)

# A literal, because with a parameter the planner could not use the partial index.
_is_active = and_(subscriptions.c.state == literal("active", literal_execute=True), subscriptions.c.ended_at.is_(None))

busiest_tenants = across_tenants(
    select(
        tenants.c.name,
        tenants.c.slug,
        subscriptions.c.seats_used.label("usage"),
        granted.runs.label("monthly_run_quota"),
    )
    .select_from(subscriptions)
    .join(tenants, and_(tenants.c.id == subscriptions.c.tenant_id, tenant_is_shown))
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    .where(_is_active)
    .order_by(subscriptions.c.seats_used.desc(), subscriptions.c.id.desc())
    .limit(bindparam("max_rows")),
    "the analytics page compares tenants with each other",
)

# By how many runs the quotas of active subscriptions together differ from their plans'.
overridden_runs = across_tenants(
    hidden_too(
        select(func.coalesce(whole_sum(subscriptions.c.monthly_run_quota_override - plans.c.monthly_run_quota), 0))
        .select_from(subscriptions)
        .join(plans, plans.c.id == subscriptions.c.plan_id)
        .where(_is_active, subscriptions.c.monthly_run_quota_override.is_not(None)),
        "a hidden tenant has no subscription",
    ),
    "the analytics page adds up what all subscriptions grant",
)


def tenants_with_projects(chosen: Literal["newest", "named"]) -> Select[Any]:
    """The tenants with an active subscription that have some of the chosen projects, and how many of these.

    ``newest`` are the ``max_projects`` newest of all projects, ``named`` is the one whose id is ``project_id``.
    """
    found = select(projects.c.tenant_id)
    if chosen == "newest":
        newest = bindparam("max_projects", type_=Integer, literal_execute=True)
        found = found.order_by(projects.c.created_at.desc(), projects.c.id.desc()).limit(newest)
    else:
        found = found.where(projects.c.project_id == bindparam("project_id"))
    some = found.subquery("some")
    number = func.count().label("usage")
    statement = (
        select(tenants.c.name, tenants.c.slug, number, granted.runs.label("monthly_run_quota"))
        .select_from(some)
        .join(tenants, and_(tenants.c.id == some.c.tenant_id, tenant_is_shown))
        .join(subscriptions, and_(subscriptions.c.tenant_id == tenants.c.id, _is_active))
        .join(plans, plans.c.id == subscriptions.c.plan_id)
        .group_by(tenants.c.id, tenants.c.name, tenants.c.slug, granted.runs)
        .order_by(number.desc(), tenants.c.id.desc())
    )
    return across_tenants(statement, "the analytics page compares tenants with each other")


tenants_with_new_devices = across_tenants(
    select(func.count(devices.c.tenant_id.distinct()).label("tenants")).where(
        devices.c.created_at >= bindparam("since"), not_(devices.c.is_revoked), is_shown(devices)
    ),
    "the retention rate is a figure of all tenants",
)

# The oldest changes after an id; each row goes to only one of two folds at the same time.
take_changes = (
    delete(statistics_changes)
    .where(
        statistics_changes.c.id.in_(
            select(statistics_changes.c.id)
            .where(statistics_changes.c.id > bindparam("after"))
            .order_by(statistics_changes.c.id)
            .limit(bindparam("max_rows"))
        )
    )
    .returning(
        statistics_changes.c.id,
        statistics_changes.c.metric,
        statistics_changes.c.dimension,
        statistics_changes.c.bucket,
        statistics_changes.c.change,
    )
)

_sums = batch_rows(metric=String, grain=Integer, bucket=Integer, dimension=String, value=BigInteger)
_fold = insert(statistics)

add_to_sums = _fold.from_select(
    list(_sums.c.keys()),
    # In a fixed order, so that two folds at the same time wait for each other and do not deadlock.
    select(_sums).where(true()).order_by(_sums.c.metric, _sums.c.grain, _sums.c.bucket, _sums.c.dimension),
).on_conflict_do_update(
    index_elements=[statistics.c.metric, statistics.c.grain, statistics.c.bucket, statistics.c.dimension],
    set_={"value": added(statistics.c.value, _fold.excluded.value)},
)


def _minus_rows(metric: str, bucket: ColumnElement[int], *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The negated number of rows in each bucket; no rows are read unless the statement is run for this metric."""
    is_requested = literal(metric) == bindparam("metric")
    return select(literal(""), bucket, -func.count()).where(is_requested, *conditions).group_by(bucket)


def _minus_paid(
    metric: str, paid: Table, moment: ColumnElement[Any], *conditions: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    """The negated sums of what was paid and not given back, by currency and bucket, for this metric alone."""
    amount, bucket = paid.c.amount - paid.c.amount_refunded, quarter_of(moment)
    is_requested = literal(metric) == bindparam("metric")
    return (
        select(paid.c.currency, bucket, -whole_sum(amount))
        .where(is_requested, moment.is_not(None), *conditions)
        .group_by(paid.c.currency, bucket)
    )


def _minus_amounts(metric: str, amount: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    """The negated sum of a column; no rows are read unless the statement is run for this metric."""
    is_requested = literal(metric) == bindparam("metric")
    return select(literal(""), literal(0), -func.coalesce(whole_sum(amount), 0)).where(is_requested)


_expiry = func.coalesce(quarter_of(activation_codes.c.expires_at), literal(NEVER, literal_execute=True))
_plan_and_state = cast(subscriptions.c.plan_id, String).concat(":").concat(subscriptions.c.state)
_figures_minus_rows = union_all(
    select(statistics.c.dimension, statistics.c.bucket, statistics.c.value).where(
        statistics.c.metric == bindparam("metric"), statistics.c.grain == 1
    ),
    select(statistics_changes.c.dimension, statistics_changes.c.bucket, statistics_changes.c.change).where(
        statistics_changes.c.metric == bindparam("metric")
    ),
    _minus_rows("codes_created", quarter_of(activation_codes.c.created_at)),
    _minus_rows("codes_used", quarter_of(activation_codes.c.used_at), activation_codes.c.used_at.is_not(None)),
    _minus_rows("codes_revoked", quarter_of(activation_codes.c.revoked_at), activation_codes.c.revoked_at.is_not(None)),
    _minus_rows(
        "codes_expiring", quarter_of(activation_codes.c.expires_at), activation_codes.c.expires_at.is_not(None)
    ),
    _minus_rows("codes_held", _expiry, _is_held),
    _minus_rows("codes_open", _expiry, _is_open),
    _minus_rows("devices_created", quarter_of(devices.c.created_at)),
    _minus_rows("devices_held", quarter_of(devices.c.created_at), devices.c.seat_held),
    _minus_rows("devices_revoked", quarter_of(devices.c.created_at), devices.c.is_revoked),
    _minus_rows("tenants_created", quarter_of(tenants.c.created_at), tenant_is_shown),
    _minus_rows("projects_created", quarter_of(projects.c.created_at)),
    _minus_rows("projects_active", quarter_of(projects.c.created_at), projects.c.is_active),
    _minus_rows("projects_with_code", quarter_of(projects.c.created_at), projects.c.activation_code_id.is_not(None)),
    _minus_paid("revenue_invoices", invoices, invoices.c.paid_at, invoices.c.state == "paid"),
    _minus_paid(
        "revenue_codes",
        checkouts,
        checkouts.c.completed_at,
        checkouts.c.kind == "codes",
        checkouts.c.state.in_(("paid", "refunded")),
    ),
    _minus_rows("templates_created", quarter_of(learned_templates.c.created_at)),
    _minus_amounts("templates_uses", learned_templates.c.usage_count),
    _minus_amounts("templates_saved", learned_templates.c.cost_saved),
    select(_plan_and_state, literal(0), -func.count())
    .where(literal("subscriptions_current") == bindparam("metric"), subscriptions.c.ended_at.is_(None))
    .group_by(_plan_and_state),
).subquery("figures_minus_rows")

# For one metric. One statement reads one snapshot, so concurrent writes cause no false difference.
sums_that_differ = across_tenants(
    select(
        _figures_minus_rows.c.dimension,
        _figures_minus_rows.c.bucket,
        whole_sum(_figures_minus_rows.c.value).label("too_many"),
    )
    .group_by(_figures_minus_rows.c.dimension, _figures_minus_rows.c.bucket)
    .having(whole_sum(_figures_minus_rows.c.value) != 0)
    .order_by(_figures_minus_rows.c.bucket)
    .limit(bindparam("max_rows")),
    "the nightly check counts the rows of all tenants",
)

_of_grain = [
    select(
        statistics.c.metric,
        literal(grain).label("grain"),
        statistics.c.dimension,
        bucket.label("bucket"),
        statistics.c.value,
    ).where(statistics.c.grain == 1)
    for grain, bucket in (
        (TOTAL, statistics.c.bucket * 0),
        (4, statistics.c.bucket - statistics.c.bucket % 4),
        (96, statistics.c.bucket - statistics.c.bucket % 96),
    )
]
_fine_and_coarse = union_all(
    *_of_grain,
    select(
        statistics.c.metric, statistics.c.grain, statistics.c.dimension, statistics.c.bucket, -statistics.c.value
    ).where(statistics.c.grain != 1),
).subquery("fine_and_coarse")

# The sum of a larger grain must equal the sum of its smallest grains.
grains_that_differ = (
    select(
        _fine_and_coarse.c.metric,
        _fine_and_coarse.c.grain,
        _fine_and_coarse.c.bucket,
        whole_sum(_fine_and_coarse.c.value).label("missing"),
    )
    .group_by(
        _fine_and_coarse.c.metric, _fine_and_coarse.c.grain, _fine_and_coarse.c.dimension, _fine_and_coarse.c.bucket
    )
    .having(whole_sum(_fine_and_coarse.c.value) != 0)
    .limit(bindparam("max_rows"))
)
