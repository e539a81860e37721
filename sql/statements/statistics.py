"""Figures that the database keeps: reading them, folding changes into them, and comparing them with the rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
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

from sql.counting import kept
from sql.dialect import batch_rows, insert, quarter_of
from sql.scope import across_tenants
from sql.tables import (
    activation_codes,
    devices,
    plans,
    statistics,
    statistics_changes,
    subscriptions,
    tenants,
)
from sql.tables.statistics import NEVER, TOTAL


def _sum(column: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum of whole numbers; PostgreSQL would make it a decimal."""
    return cast(func.sum(column), BigInteger)


# Which sums are wanted: of a metric, over a period that the asker has named, from the buckets of one grain.
_asked = batch_rows(metric=String, period=String, grain=Integer, first_bucket=BigInteger, next_bucket=BigInteger)

_recent = (
    select(
        statistics_changes.c.metric,
        statistics_changes.c.dimension,
        statistics_changes.c.bucket,
        _sum(statistics_changes.c.change).label("change"),
    )
    .group_by(statistics_changes.c.metric, statistics_changes.c.dimension, statistics_changes.c.bucket)
    .cte("recent")
)

# Looked up for each that is asked, by the key: a join would make PostgreSQL read all sums.
_folded = (
    select(_sum(statistics.c.value))
    .where(
        statistics.c.metric == _asked.c.metric,
        statistics.c.grain == _asked.c.grain,
        statistics.c.bucket >= _asked.c.first_bucket,
        statistics.c.bucket < _asked.c.next_bucket,
    )
    .correlate(_asked)
    .scalar_subquery()
)
_folded_sums = select(_asked.c.metric, _asked.c.period, func.coalesce(_folded, 0).label("value"))

_recent_sums = (
    select(_asked.c.metric, _asked.c.period, _sum(_recent.c.change).label("value"))
    .select_from(_asked)
    .join(
        _recent,
        and_(
            _recent.c.metric == _asked.c.metric,
            _recent.c.bucket >= _asked.c.first_bucket,
            _recent.c.bucket < _asked.c.next_bucket,
        ),
    )
    .group_by(_asked.c.metric, _asked.c.period)
)

# What was folded and what was not yet, seen at the same moment; the asker adds them.
sums = union_all(_folded_sums, _recent_sums)

_of_each = union_all(
    select(statistics.c.dimension, statistics.c.value).where(
        statistics.c.metric == bindparam("metric"), statistics.c.grain == TOTAL
    ),
    select(statistics_changes.c.dimension, statistics_changes.c.change).where(
        statistics_changes.c.metric == bindparam("metric")
    ),
).subquery("of_each")

# A metric over all time, for each dimension it has.
sums_by_dimension = select(_of_each.c.dimension, _sum(_of_each.c.value).label("value")).group_by(_of_each.c.dimension)

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


# Beside the sums, what has expired within the running quarter of an hour, and how many tenants are active.
sums_and_just_expired = across_tenants(
    union_all(
        _folded_sums,
        _recent_sums,
        _just_expired("codes_expiring"),
        _just_expired("codes_held", _is_held),
        _just_expired("codes_open", _is_open),
        select(
            literal("subscriptions_active").label("metric"),
            literal("all").label("period"),
            kept("subscriptions_current", literal(":active", literal_execute=True)).label("value"),
        ),
    ),
    "the dashboard and the list show the codes of all tenants together",
)

busiest_tenants = across_tenants(
    select(tenants.c.name, tenants.c.slug, subscriptions.c.seats_used, plans.c.monthly_run_quota)
    .select_from(subscriptions)
    .join(tenants, tenants.c.id == subscriptions.c.tenant_id)
    .join(plans, plans.c.id == subscriptions.c.plan_id)
    # Written out, because a parameter does not tell the planner that the index holds them.
    .where(subscriptions.c.state == literal("active", literal_execute=True), subscriptions.c.ended_at.is_(None))
    .order_by(subscriptions.c.seats_used.desc(), subscriptions.c.id.desc())
    .limit(bindparam("max_rows")),
    "the analytics page compares tenants with each other",
)

tenants_with_new_devices = across_tenants(
    select(func.count(devices.c.tenant_id.distinct()).label("tenants")).where(
        devices.c.created_at >= bindparam("since"), not_(devices.c.is_revoked)
    ),
    "how many tenants stay is a figure of all",
)

# The oldest changes; two that fold at once share them out.
take_changes = (
    delete(statistics_changes)
    .where(
        statistics_changes.c.id.in_(
            select(statistics_changes.c.id).order_by(statistics_changes.c.id).limit(bindparam("max_rows"))
        )
    )
    .returning(
        statistics_changes.c.metric,
        statistics_changes.c.dimension,
        statistics_changes.c.bucket,
        statistics_changes.c.change,
    )
)

_folding = batch_rows(metric=String, grain=Integer, bucket=Integer, dimension=String, value=BigInteger)
_fold = insert(statistics)

add_to_sums = _fold.from_select(
    list(_folding.c.keys()),
    # Ordered, so that two that fold at once wait for each other instead of deadlocking.
    select(_folding)
    .where(true())
    .order_by(_folding.c.metric, _folding.c.grain, _folding.c.bucket, _folding.c.dimension),
).on_conflict_do_update(
    index_elements=[statistics.c.metric, statistics.c.grain, statistics.c.bucket, statistics.c.dimension],
    set_={"value": statistics.c.value + _fold.excluded.value},
)


def _taken_off(metric: str, bucket: ColumnElement[int], *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The number of rows in each bucket, negative; a metric that is not asked for is not counted."""
    is_asked = literal(metric) == bindparam("metric")
    return select(literal(""), bucket, -func.count()).where(is_asked, *conditions).group_by(bucket)


_expiry = func.coalesce(quarter_of(activation_codes.c.expires_at), literal(NEVER, literal_execute=True))
_plan_and_state = cast(subscriptions.c.plan_id, String).concat(":").concat(subscriptions.c.state)
_kept_and_counted = union_all(
    select(statistics.c.dimension, statistics.c.bucket, statistics.c.value).where(
        statistics.c.metric == bindparam("metric"), statistics.c.grain == 1
    ),
    select(statistics_changes.c.dimension, statistics_changes.c.bucket, statistics_changes.c.change).where(
        statistics_changes.c.metric == bindparam("metric")
    ),
    _taken_off("codes_created", quarter_of(activation_codes.c.created_at)),
    _taken_off("codes_used", quarter_of(activation_codes.c.used_at), activation_codes.c.used_at.is_not(None)),
    _taken_off("codes_revoked", quarter_of(activation_codes.c.revoked_at), activation_codes.c.revoked_at.is_not(None)),
    _taken_off("codes_expiring", quarter_of(activation_codes.c.expires_at), activation_codes.c.expires_at.is_not(None)),
    _taken_off("codes_held", _expiry, _is_held),
    _taken_off("codes_open", _expiry, _is_open),
    _taken_off("devices_created", quarter_of(devices.c.created_at)),
    _taken_off("devices_held", quarter_of(devices.c.created_at), not_(devices.c.is_revoked)),
    _taken_off("tenants_created", quarter_of(tenants.c.created_at)),
    select(_plan_and_state, literal(0), -func.count())
    .where(literal("subscriptions_current") == bindparam("metric"), subscriptions.c.ended_at.is_(None))
    .group_by(_plan_and_state),
).subquery("kept_and_counted")

# Of one metric. One statement sees one moment, however much is written meanwhile.
sums_that_differ = across_tenants(
    select(
        _kept_and_counted.c.dimension,
        _kept_and_counted.c.bucket,
        _sum(_kept_and_counted.c.value).label("too_many"),
    )
    .group_by(_kept_and_counted.c.dimension, _kept_and_counted.c.bucket)
    .having(func.sum(_kept_and_counted.c.value) != 0)
    .order_by(_kept_and_counted.c.bucket)
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

# Each larger grain is the sum of the smallest.
grains_that_differ = (
    select(
        _fine_and_coarse.c.metric,
        _fine_and_coarse.c.grain,
        _fine_and_coarse.c.bucket,
        _sum(_fine_and_coarse.c.value).label("missing"),
    )
    .group_by(
        _fine_and_coarse.c.metric, _fine_and_coarse.c.grain, _fine_and_coarse.c.dimension, _fine_and_coarse.c.bucket
    )
    .having(func.sum(_fine_and_coarse.c.value) != 0)
    .limit(bindparam("max_rows"))
)
