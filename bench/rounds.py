"""Rounds: in each of them every server takes its turn on every path, so that a machine's moods meet all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.checks import is_refused_after_revocation
from bench.figures import Figure, Results
from bench.floor import INSERTS, plain_inserts
from bench.load import CONNECTIONS, Measured, wrk
from bench.scenarios import BARE, SCENARIOS, Scenario
from bench.seeding import Fleet
from bench.servers import Server


@dataclass(frozen=True)
class Contest:
    """One path at so many connections, and who takes part: servers, or plain inserts by their names."""

    scenario: Scenario
    who: tuple[str, ...]
    connections: int = CONNECTIONS

    @property
    def path(self) -> str:
        """The path's name, with its connections where they are not the usual ones."""
        at = "" if self.connections == CONNECTIONS else f"@{self.connections}"
        return f"{self.scenario.name}{at}"


class Rounds:
    """The contests of one database."""

    def __init__(
        self, results: Results, database: str, servers: Mapping[str, Server], fleet: Fleet, folder: Path
    ) -> None:
        self._results = results
        self._database = database
        self._servers = servers
        self._fleet = fleet
        self._script = folder / "scenario.lua"
        self._revoked: set[str] = set()

    async def run(
        self, contests: Sequence[Contest], rounds: int, seconds: float, told: Callable[[str, float | None], None]
    ) -> None:
        """Measure them all; ``told`` hears what comes next, and how it went."""
        await self._warm_up()
        for number in range(rounds):
            for contest in contests:
                for name in contest.who:
                    what = f"{self._database} {number + 1}/{rounds} {contest.path} {name}"
                    told(what, None)
                    figure = self._figure(contest, name)
                    if name in INSERTS:
                        measured = await self._insert(contest, name, seconds)
                    else:
                        measured = await self._load(contest, self._servers[name], seconds, figure)
                    figure.add(measured, contest.scenario.units)
                    told(what, figure.rates[-1])

    async def _warm_up(self) -> None:
        """Open every pool, and let every server see every token once."""
        for server in self._servers.values():
            script = await self._written(SCENARIOS["bare" if server.name == BARE else "policy"])
            shown = 0
            while shown < len(self._fleet.asking):
                shown += (await asyncio.to_thread(wrk, server.url, seconds=1, script=script)).requests
            await server.settle()

    def _figure(self, contest: Contest, name: str) -> Figure:
        if (figure := self._results.figure(self._database, contest.path, name)) is None:
            unit = "events/s" if contest.scenario.name.startswith("ingest") else "requests/s"
            figure = Figure(self._database, contest.path, name, unit)
            self._results.figures.append(figure)
        return figure

    async def _insert(self, contest: Contest, name: str, seconds: float) -> Measured:
        return await plain_inserts(
            self._fleet, batch=contest.scenario.units, connections=INSERTS[name], seconds=seconds
        )

    async def _load(self, contest: Contest, server: Server, seconds: float, figure: Figure) -> Measured:
        script = await self._written(contest.scenario)
        before = await server.counted()
        url = f"{server.url}/"
        running = asyncio.create_task(
            asyncio.to_thread(wrk, url, connections=contest.connections, seconds=seconds, script=script)
        )
        if contest.scenario.name == "policy" and server.name not in self._revoked:
            self._revoked.add(server.name)
            await asyncio.sleep(seconds / 2)
            was_refused = await is_refused_after_revocation(server, self._fleet)
            self._results.revocations.append((self._database, server.name, was_refused))
        measured = await running
        await server.settle()
        after = await server.counted()
        if before is not None and after is not None:
            # Who does not count its answers gives one to everybody who was still waiting at the end.
            answers = (after.answered or 0) - (before.answered or 0) or measured.requests + contest.connections
            figure.statements_per_request.append((after.statements - before.statements) / answers)
        figure.rss_mb = max(figure.rss_mb or 0.0, server.rss_mb)
        return measured

    async def _written(self, scenario: Scenario) -> Path | None:
        if scenario.script is None:
            return None
        self._script.write_text(await scenario.script(self._fleet))
        return self._script
