"""What can be measured, by name, and which contests a choice comes to."""

from __future__ import annotations

from collections.abc import Collection

from bench.bars import SQLITE
from bench.floor import INSERTS
from bench.load import CONNECTIONS
from bench.rounds import Contest
from bench.scenarios import BARE, DIRECT, PORTAL, SCENARIOS

LATENCY, FLOOR, START, MEMORY = "latency", "ingest-floor", "start", "memory"
NAMES = (*SCENARIOS, LATENCY, FLOOR, START, MEMORY)
# A minute and a quarter.
QUICK = {
    "postgresql": ("bare", "policy", "heartbeat", "refresh", "activate", "ingest-1", "ingest-1000", FLOOR, START),
    "sqlite": ("bare", "policy", "heartbeat"),
}
LATENCIES = (8, 32, 128, 512)


def contests(chosen: Collection[str], database: str) -> list[Contest]:
    """Who meets on which path; the bare handler joins wherever something is compared with it."""
    found: dict[tuple[str, int], list[str]] = {}

    def add(name: str, *who: str, connections: int = CONNECTIONS) -> None:
        there = found.setdefault((name, connections), [])
        there += [one for one in who if one not in there and (one, database) != (DIRECT, SQLITE)]

    if set(chosen) & set(SCENARIOS):
        add("bare", BARE)
    for name, scenario in SCENARIOS.items():
        if name in chosen:
            add(name, *scenario.servers)
    if FLOOR in chosen:
        batches = [name for name in SCENARIOS if name.startswith("ingest")]
        # Beside the batches that are measured anyway, or for all of them where none is.
        for name in [name for name in batches if name in chosen] or batches:
            add(name, PORTAL, *INSERTS)
    if LATENCY in chosen:
        for connections in LATENCIES:
            add("bare", BARE, connections=connections)
            add("policy", PORTAL, connections=connections)
            add("heartbeat", PORTAL, connections=connections)
    return [Contest(SCENARIOS[name], tuple(who), connections) for (name, connections), who in found.items()]
