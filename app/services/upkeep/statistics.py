"""The upkeep of the figures: folding changes into sums, and proving at night that they equal the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from app.context import Context
from app.database.connections import as_batch
from app.services.upkeep.folds import fold_all
from app.services.upkeep.llm import check_days, fold_days
from app.services.upkeep.months import fold_runs
from sql.statements import statistics
from sql.sums import bounded
from sql.tables.statistics import GRAINS, METRICS_BY_TABLE, TOTAL

MAX_REPORTED = 100
METRICS = [metric.name for metrics in METRICS_BY_TABLE.values() for metric in metrics]

log = structlog.get_logger(__name__)


class Change(NamedTuple):
    """One change of a figure, in the bucket of the smallest grain."""

    id: int
    metric: str
    dimension: str
    bucket: int
    change: int


class DifferentSum(NamedTuple):
    """A sum that is not the number of its rows: by how much it is too large."""

    dimension: str
    bucket: int
    too_many: int


class DifferentGrain(NamedTuple):
    """A sum of a larger grain that is not the sum of the smallest: how much it lacks."""

    metric: str
    grain: int
    bucket: int
    missing: int


async def fold_statistics(ctx: Context) -> Mapping[str, object]:
    """Move the changes that have committed into the sums, some at a time; what is read is the same before and after.

    The changes of figures, those of the months by which tenants are ordered, and those of what models have cost.
    """
    folded = await fold_all(ctx, _fold_some)
    return {"changes": folded, "run_changes": await fold_runs(ctx), "llm_usage_changes": await fold_days(ctx)}


async def _fold_some(ctx: Context, after: int, max_rows: int) -> list[int]:
    async with ctx.write() as conn:
        changes = await conn.many(statistics.take_changes, Change, after=after, max_rows=max_rows)
        sums: Counter[tuple[str, int, int, str]] = Counter()
        for _, metric, dimension, bucket, change in changes:
            sums[metric, TOTAL, 0, dimension] += change
            for grain in GRAINS:
                sums[metric, grain, bucket - bucket % grain, dimension] += change
        rows = [
            {"metric": metric, "grain": grain, "bucket": bucket, "dimension": dimension, "value": bounded(value)}
            for (metric, grain, bucket, dimension), value in sums.items()
            if value
        ]
        if rows:
            await conn.affected(statistics.add_to_sums, batch=as_batch(rows))
    return [change.id for change in changes]


async def check_statistics(ctx: Context) -> Mapping[str, object]:
    """Count the rows of every table once and report figures that differ; nothing is mended silently.

    A figure is kept in the transaction of what it counts, so a difference is a fault that somebody must look at.
    """
    differences: list[dict[str, object]] = []
    for metric in METRICS:
        async with ctx.read() as conn:
            sums = await conn.many(statistics.sums_that_differ, DifferentSum, metric=metric, max_rows=MAX_REPORTED)
        differences += [{"metric": metric, **wrong._asdict()} for wrong in sums]
    async with ctx.read() as conn:
        grains = await conn.many(statistics.grains_that_differ, DifferentGrain, max_rows=MAX_REPORTED)
    differences += [wrong._asdict() for wrong in grains]
    for difference in differences:
        log.error("statistics_differ", **difference)
    return {"differences": len(differences), "llm_usage_differences": await check_days(ctx)}
