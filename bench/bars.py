"""What this server must reach, as ratios wherever a machine would otherwise decide."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.figures import Results
from bench.floor import INSERTS
from bench.scenarios import ORM, PORTAL

POSTGRES, SQLITE = "postgresql", "sqlite"
OF_BARE = {
    (POSTGRES, "policy"): 0.55,
    (POSTGRES, "heartbeat"): 0.45,
    (SQLITE, "policy"): 0.35,
    (SQLITE, "heartbeat"): 0.25,
}
OF_ORM = {"policy": 15.0, "heartbeat": 12.0, "refresh": 5.0, "activate": 4.0, "ingest-1": 12.0}
P99_OF_P50 = 4.0
LARGE_INGEST = "ingest-1000"
OF_FLOOR = 0.6
EVENTS_PER_SECOND = 10_000.0
FRESH_MEGABYTES = 120.0
MAX_GROWTH = 1.1
START_SECONDS = 2.0
FRESH, GROWN, START = "fresh RSS, MB", "RSS after the requests, of fresh", "first answer, s"


@dataclass(frozen=True)
class Bar:
    """One of them; ``bound`` is the least that is good enough, or the most where ``is_ceiling``."""

    database: str
    what: str
    # One for each round, or each time.
    values: Sequence[float]
    bound: float
    is_ceiling: bool = False

    @property
    def found(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.found <= self.bound if self.is_ceiling else self.found >= self.bound


def bars(results: Results) -> Iterator[Bar]:
    """The bars of everything that was measured."""
    for database in (POSTGRES, SQLITE):
        yield from _rates(results, database)
        yield from _ingest(results, database)
        for name, bound in ((FRESH, FRESH_MEGABYTES), (GROWN, MAX_GROWTH), (START, START_SECONDS)):
            if value := results.value(database, name):
                yield Bar(database, name, value.values, bound, is_ceiling=True)
    for database, server, was_refused in results.revocations:
        yield Bar(database, f"revoked under load, refused by {server}", [float(was_refused)], 1.0)


def _rates(results: Results, database: str) -> Iterator[Bar]:
    for figure in results.figures:
        if (figure.database, figure.server) != (database, PORTAL):
            continue
        if (bound := OF_BARE.get((database, figure.path))) and (parts := results.of_bare(figure)):
            yield Bar(database, f"{figure.path}, of bare", parts, bound)
        if database == POSTGRES and (bound := OF_ORM.get(figure.path)):
            if times := results.of(ORM, figure):
                yield Bar(database, f"{figure.path}, times the ORM design", times, bound)
            tails = [p99 / p50 for p99, p50 in zip(figure.p99_ms, figure.p50_ms, strict=True)]
            yield Bar(database, f"{figure.path}, p99 of p50", tails, P99_OF_P50, is_ceiling=True)
        yield Bar(database, f"{figure.path}, errors", [figure.errors], 0, is_ceiling=True)


def _ingest(results: Results, database: str) -> Iterator[Bar]:
    figure = results.figure(database, LARGE_INGEST, PORTAL)
    if figure is None:
        return
    yield Bar(database, f"{LARGE_INGEST}, events/s", figure.rates, EVENTS_PER_SECOND)
    if parts := results.of_best(figure, list(INSERTS)):
        yield Bar(database, f"{LARGE_INGEST}, of a plain insert", parts, OF_FLOOR)
