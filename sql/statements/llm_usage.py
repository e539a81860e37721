"""The usage log of models by day: reading its sums, folding changes into them, proving them, and removing old rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Select,
    String,
    Subquery,
    Table,
    bindparam,
    cast,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    true,
    union_all,
)

from sql.counting import total_of
from sql.dialect import batch_rows, insert
from sql.scope import across_tenants
from sql.sums import added, whole_sum
from sql.tables import llm_calls, llm_usage_changes, llm_usage_days, system_settings

KEY = ("day", "provider", "model")
SUMS = ("calls", "successes", "cached", "input_tokens", "output_tokens", "cost", "duration_ms")


def _sum(column: ColumnElement[Any]) -> ColumnElement[int]:
    return func.coalesce(whole_sum(column), 0)


def _from_day(table: Table) -> Select[Any]:
    """Its sums from the parameter ``first_day`` on."""
    return select(*(table.c[name] for name in KEY + SUMS)).where(table.c.day >= bindparam("first_day", type_=Date))


# Folded and not folded, in one snapshot.
_usage = union_all(_from_day(llm_usage_days), _from_day(llm_usage_changes)).cte("usage")

_ZERO = literal(0, BigInteger)
_of_models = (
    select(
        null().cast(Date).label("day"),
        _usage.c.provider,
        _usage.c.model,
        *(_sum(_usage.c[name]).label(name) for name in ("calls", "successes", "cost", "duration_ms")),
    )
    .where(_usage.c.day >= bindparam("month", type_=Date))
    .group_by(_usage.c.provider, _usage.c.model)
)
_of_days = select(
    _usage.c.day,
    literal("").label("provider"),
    literal("").label("model"),
    _ZERO,
    _ZERO,
    _sum(_usage.c.cost).label("cost"),
    _ZERO,
).group_by(_usage.c.day)
_parts = union_all(_of_models, _of_days).subquery("parts")


def _with_settings(*names: str) -> tuple[list[ColumnElement[Any]], FromClause]:
    """These system settings, where there are none the parameters ``default_...``; and what to select them from."""
    one = select(literal(1).label("id")).subquery("one")
    values: list[ColumnElement[Any]] = [
        func.coalesce(column, bindparam(f"default_{name}", type_=column.type)).label(name)
        for name in names
        for column in (system_settings.c[name],)
    ]
    return values, one.outerjoin(system_settings, system_settings.c.id == one.c.id)


def _statistics() -> Select[Any]:
    settings, source = _with_settings("monthly_budget", "gemini_model", "openai_model", "anthropic_model")
    templates = [total_of(f"templates_{name}").label(f"templates_{name}") for name in ("created", "uses", "saved")]
    return select(*settings, *templates, *_parts.c).select_from(source.outerjoin(_parts, true()))


# All of the overview's figures: the settings and the templates stand beside each part, which is either the month of a
# model or, where the day is not null, a day of all models. Without any usage there is one row, whose provider is null.
statistics = _statistics()


# SKIP LOCKED: two folds at the same time take different changes. As a common table expression, because a subquery that
# skips what is locked may be run again, and then it finds others and takes more than so many.
_oldest = (
    select(llm_usage_changes.c.id)
    .where(llm_usage_changes.c.id > bindparam("after"))
    .order_by(llm_usage_changes.c.id)
    .limit(bindparam("max_rows"))
    .with_for_update(skip_locked=True)
    .cte("oldest")
)
take_changes = (
    delete(llm_usage_changes)
    .where(llm_usage_changes.c.id.in_(select(_oldest.c.id)))
    .returning(llm_usage_changes.c.id, *(llm_usage_changes.c[name] for name in KEY + SUMS))
)

_batch = batch_rows(day=Date, provider=String, model=String, **dict.fromkeys(SUMS, BigInteger))
_fold = insert(llm_usage_days)

add_to_days = _fold.from_select(
    list(KEY + SUMS),
    # In a fixed order, so that two folds at the same time wait for each other and do not deadlock.
    select(_batch).where(true()).order_by(*(_batch.c[name] for name in KEY)),
).on_conflict_do_update(
    index_elements=[llm_usage_days.c[name] for name in KEY],
    set_={name: added(llm_usage_days.c[name], _fold.excluded[name]) for name in SUMS},
)

oldest_day = across_tenants(select(func.min(llm_calls.c.day).label("day")), "the log of all tenants is one log")


def _minus_rows() -> Select[Any]:
    amounts: dict[str, ColumnElement[Any]] = {
        **dict(llm_calls.c.items()),
        "calls": literal(1),
        "successes": cast(llm_calls.c.success, Integer),
        "cached": cast(llm_calls.c.cached, Integer),
    }
    return select(llm_calls.c.provider, llm_calls.c.model, *(-amounts[name] for name in SUMS)).where(
        llm_calls.c.day == bindparam("day")
    )


def _sums_minus_rows() -> Subquery:
    sums = (
        select(table.c.provider, table.c.model, *(table.c[name] for name in SUMS)).where(
            table.c.day == bindparam("day")
        )
        for table in (llm_usage_days, llm_usage_changes)
    )
    return union_all(*sums, _minus_rows()).subquery("sums_minus_rows")


_difference = _sums_minus_rows()

# Of one day. One statement reads one snapshot, so concurrent calls cause no false difference.
days_that_differ = across_tenants(
    select(_difference.c.provider, _difference.c.model, *(_sum(_difference.c[name]).label(name) for name in SUMS))
    .group_by(_difference.c.provider, _difference.c.model)
    .having(or_(*(whole_sum(_difference.c[name]) != 0 for name in SUMS)))
    .order_by(_difference.c.provider, _difference.c.model)
    .limit(bindparam("max_rows")),
    "a day's sums are those of all tenants",
)

_old_calls = (
    select(llm_calls.c.id)
    .where(llm_calls.c.day < bindparam("first_kept_day"))
    .order_by(llm_calls.c.day)
    .limit(bindparam("max_rows"))
)

delete_old_calls = across_tenants(
    delete(llm_calls).where(llm_calls.c.id.in_(_old_calls)), "retention removes the old calls of all tenants"
)
