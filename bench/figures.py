"""What was measured: the rounds of each path on each server, and the ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.load import Measured
from bench.scenarios import BARE


@dataclass
class Figure:
    """One path on one server, with a value for each round; ``rates`` are requests or events per second."""

    database: str
    path: str
    server: str
    unit: str = "requests/s"
    rates: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    errors: int = 0
    statements_per_request: list[float] = field(default_factory=list)
    rss_mb: float | None = None

    def add(self, measured: Measured, units: int) -> None:
        """One more round; a request that was refused is an error and no throughput."""
        good = max(0.0, 1 - measured.errors / measured.requests) if measured.requests else 0.0
        self.rates.append(measured.requests_per_second * good * units)
        self.p50_ms.append(measured.p50_ms)
        self.p99_ms.append(measured.p99_ms)
        self.errors += measured.errors

    @property
    def rate(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates)

    @property
    def p50(self) -> float:
        """The median of the rounds' medians, in milliseconds."""
        return statistics.median(self.p50_ms)

    @property
    def p99(self) -> float:
        """The median of the rounds' 99th percentiles, in milliseconds."""
        return statistics.median(self.p99_ms)


def spread(rounds: Sequence[float]) -> float:
    """How far rounds lie apart, in parts of their median."""
    middle = statistics.median(rounds)
    return (max(rounds) - min(rounds)) / middle if middle else 0.0


def ratios(figure: Figure, other: Figure | None) -> list[float]:
    """A figure in times of another, round by round, or nothing where there is no other.

    A machine that others use gets slower and faster by a half within a run. What met one in a round met the other in
    the same one, so their ratio stands; the medians of both may come from different rounds. A round in which the other
    has answered nothing tells nothing, and hides none of the others.
    """
    rates = zip(figure.rates, other.rates, strict=True) if other else ()
    return [one / of for one, of in rates if of]


@dataclass(frozen=True)
class Value:
    """Anything else that was measured, one value for each time; ``name`` says what in which unit."""

    database: str
    section: str
    name: str
    values: list[float]

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)


@dataclass
class Results:
    """One run of the bench."""

    figures: list[Figure] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    # Database and server, and whether each device that was revoked under its load was refused.
    revocations: list[tuple[str, str, bool]] = field(default_factory=list)

    def figure(self, database: str, path: str, server: str) -> Figure | None:
        """The rounds of this path on this server, if it was measured."""
        sought = (database, path, server)
        return next((one for one in self.figures if (one.database, one.path, one.server) == sought), None)

    def value(self, database: str, name: str) -> Value | None:
        """A value by its name, if it was measured."""
        return next((one for one in self.values if (one.database, one.name) == (database, name)), None)

    def of_bare(self, figure: Figure) -> list[float]:
        """A figure in parts of the bare handler, at as many connections, for each round."""
        if figure.unit != "requests/s":
            return []
        _, at, connections = figure.path.partition("@")
        return ratios(figure, self.figure(figure.database, f"bare{at}{connections}", BARE))

    def of(self, server: str, figure: Figure) -> list[float]:
        """A figure in times of another server's on the same path, for each round."""
        return ratios(figure, self.figure(figure.database, figure.path, server))

    def of_best(self, figure: Figure, servers: Sequence[str]) -> list[float]:
        """A figure in times of the best of some servers on the same path, for each round."""
        found = [other for server in servers if (other := self.figure(figure.database, figure.path, server))]
        return ratios(figure, max(found, key=lambda other: other.rate, default=None))

    def as_json(self) -> dict[str, Any]:
        """Everything, rounds included."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Results:
        """An earlier run."""
        return cls(
            [Figure(**figure) for figure in told["figures"]],
            [Value(**value) for value in told["values"]],
            [tuple(one) for one in told["revocations"]],
        )
