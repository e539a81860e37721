"""The Markdown that a run prints: the table, the other values, the bars, and the comparison with an earlier run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.bars import Bar
from bench.figures import Figure, Results, spread
from bench.floor import INSERTS
from bench.markdown import table
from bench.scenarios import BARE, DIRECT, ORM, PORTAL

COLUMNS = (
    "database",
    "path",
    "server",
    "per second",
    "p50 ms",
    "p99 ms",
    "errors",
    "SQL per request",
    "MB per worker",
    "of bare",
    "of direct",
    "times ORM design",
    "of plain insert",
)

# Two rounds may lie close together by chance.
FEWEST_ROUNDS = 3


def report(results: Results, found: Sequence[Bar]) -> str:
    """Everything that one run has to tell."""
    parts = []
    if results.figures:
        parts.append(table(COLUMNS, (_row(results, figure) for figure in _in_order(results.figures))))
    if results.values:
        values = (
            (value.database, value.section, value.name, f"{value.median:,.2f}", _range(value.values))
            for value in results.values
        )
        parts.append(table(("database", "section", "what", "median", "from - to"), values))
    if found:
        bars = (
            (bar.database, bar.what, f"{bar.found:,.2f}", _range(bar.values), _bound(bar), _met(bar)) for bar in found
        )
        parts.append(table(("database", "bar", "median", "from - to", "wanted", "met"), bars))
    return "\n\n".join(parts)


def comparison(now: Results, before: Results) -> str:
    """Each figure in times of the earlier one, and whether that is more than the rounds of both lie apart.

    What is judged is the ratio to the bare handler, since a machine may be slower today, or the rate where there is no
    such ratio. A median lies somewhere within its rounds; so half the spread of both together is noise.
    """
    rows = []
    for figure in _in_order(now.figures):
        earlier = before.figure(figure.database, figure.path, figure.server)
        if earlier is None or not earlier.rate:
            continue
        of_bare = before.of_bare(earlier), now.of_bare(figure)
        was, found = of_bare if all(of_bare) and figure.server != BARE else (earlier.rates, figure.rates)
        rows.append(
            (
                figure.database,
                figure.path,
                figure.server,
                f"{earlier.rate:,.0f}",
                f"{figure.rate:,.0f}",
                f"{figure.rate / earlier.rate:.2f}",
                f"{_ratio(of_bare[0])} / {_ratio(of_bare[1])}",
                f"{spread(was):.0%} / {spread(found):.0%}",
                _verdict(was, found),
            )
        )
    columns = ("database", "path", "server", "before", "now", "ratio", "of bare", "spread", "verdict")
    return table(columns, rows)


def _verdict(was: Sequence[float], found: Sequence[float]) -> str:
    if min(len(was), len(found)) < FEWEST_ROUNDS:
        return "too few rounds to tell"
    ratio = statistics.median(found) / statistics.median(was)
    if abs(ratio - 1) <= (spread(was) + spread(found)) / 2:
        return "within noise"
    return "faster" if ratio > 1 else "slower"


def _row(results: Results, figure: Figure) -> tuple[str, ...]:
    is_insert = figure.server in INSERTS
    return (
        figure.database,
        figure.path,
        figure.server,
        f"{figure.rate:,.0f}" + (" events" if figure.unit == "events/s" else ""),
        f"{figure.p50:.2f}",
        f"{figure.p99:.2f}",
        str(figure.errors),
        f"{statistics.median(figure.statements_per_request):.3f}" if figure.statements_per_request else "",
        "" if figure.rss_mb is None else f"{figure.rss_mb:.0f}",
        "" if is_insert else _ratio(results.of_bare(figure)),
        "" if is_insert else _ratio(results.of(DIRECT, figure)),
        "" if is_insert else _ratio(results.of(ORM, figure)),
        _ratio(results.of_best(figure, list(INSERTS))) if figure.server == PORTAL else "",
    )


def _in_order(figures: Sequence[Figure]) -> list[Figure]:
    """By database and path as they were measured, the servers of a path together."""
    paths = list(dict.fromkeys((figure.database, figure.path) for figure in figures))
    return sorted(figures, key=lambda figure: paths.index((figure.database, figure.path)))


def _ratio(rounds: Sequence[float]) -> str:
    return f"{statistics.median(rounds):.2f}" if rounds else ""


def _range(values: Sequence[float]) -> str:
    return f"{min(values):,.2f} - {max(values):,.2f}" if len(values) > 1 else ""


def _bound(bar: Bar) -> str:
    return f"{'at most' if bar.is_ceiling else 'at least'} {bar.bound:,g}"


def _met(bar: Bar) -> str:
    return "met" if bar.met else "**missed**"
