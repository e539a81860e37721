"""What operators list and count, with a thousand and with two hundred thousand tenants, in one run, alternating.

    .venv/bin/python -m bench.growth_lists [--small URL --large URL] [--rounds 5] [--only text] [--json]

One worker on each database, one request at a time on one connection, with an API token, over HTTP. The databases are
those of ``bench.growth``, as for ``bench.growth_policy``. The exit code is 1 when a call that is held to the bar takes
more than one and a half times as long on the larger one, or more statements.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.processes import ServerProcess, served

from app.access.permissions import Role
from app.context import Actor, Context
from app.services.operators.api_tokens import create_token
from bench.growth_calls import CALLS, Call
from bench.growth_policy import grown
from bench.markdown import table
from bench.servers import AT_REST, METRICS, samples_in, statements

MAX_RATIO = 1.5
SIDES = ("small", "large")
# Of a round for each call, both sides together; a slow call is asked a few times all the same.
SECONDS = 0.2
MIN_REQUESTS = 8


@dataclass
class Side:
    """One server: a connection that stays open, and what is sent with each request."""

    connection: http.client.HTTPConnection
    headers: dict[str, str]

    def ask(self, path: str) -> Any:
        """The answer's JSON."""
        return json.loads(self.body(path))

    def body(self, path: str) -> bytes:
        """An answer that went well."""
        try:
            answer, body = self._answer(path)
        except (http.client.RemoteDisconnected, ConnectionError):
            # The server has closed what was idle while the other side was asked.
            self.connection.close()
            answer, body = self._answer(path)
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body

    def _answer(self, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        return answer, answer.read()

    def statements(self) -> float:
        """How many the worker has sent so far."""
        return statements(samples_in(self.body(METRICS).decode()))

    def milliseconds(self, path: str) -> float:
        """How long a request has taken."""
        began = time.perf_counter()
        self.body(path)
        return (time.perf_counter() - began) * 1_000


@dataclass
class Figures:
    """A call on both sides: the quickest request of each round, and what was answered."""

    call: Call
    rounds: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    rows: dict[str, int] = field(default_factory=dict)
    totals: dict[str, str] = field(default_factory=dict)
    statements: dict[str, float] = field(default_factory=dict)

    def middle(self, side: str) -> float:
        """The median of a side's rounds."""
        return statistics.median(self.rounds[side])

    @property
    def ratio(self) -> float:
        """How much longer the larger database takes."""
        return self.middle("large") / self.middle("small")

    @property
    def is_alike(self) -> bool:
        """Whether both sides have shown as many rows, and counted as many: only then they have done the same."""
        has_equal_totals = not self.call.is_counted or len(set(self.totals.values())) == 1
        return has_equal_totals and len(set(self.rows.values())) == 1

    @property
    def is_held(self) -> bool:
        """Whether the bar holds for it."""
        return self.call.is_held and self.is_alike

    @property
    def is_met(self) -> bool:
        """Whether the bar is met where it holds, with no more statements; a figure that is remembered needs fewer."""
        has_no_more = self.statements["large"] <= self.statements["small"]
        return not self.is_held or (self.ratio <= MAX_RATIO and has_no_more)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "call": self.call.name,
            "path": self.call.address,
            "rows": self.rows,
            "totals": self.totals,
            "statements": self.statements,
            **{f"{side}_ms": round(self.middle(side), 2) for side in SIDES},
            "ratio": round(self.ratio, 2),
            "is_held": self.is_held,
            "is_met": self.is_met,
        }

    @property
    def cells(self) -> list[str]:
        """A row of the table."""
        count = [f"{self.statements[side]:g}" for side in SIDES]
        bar = "" if self.is_held else "not alike" if not self.is_alike else "beside the bar"
        return [
            self.call.name,
            " / ".join(str(self.rows[side]) for side in SIDES),
            " / ".join(self.totals[side] for side in SIDES),
            " / ".join(dict.fromkeys(count)),
            *(f"{self.middle(side):.2f}" for side in SIDES),
            f"{self.ratio:.2f}",
            bar or ("met" if self.is_met else "**missed**"),
        ]


async def side_of(server: ServerProcess) -> Side:
    """Somebody who may read everything, signed in on a server."""
    ctx = Context(server.runtime, Actor("operator", "bench", permissions=Role.OWNER.permissions))
    token = await create_token(ctx, name="bench", role=Role.READ_ONLY, days=1)
    address = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(str(address.hostname), int(address.port or 0), timeout=60)
    return Side(connection, {"Authorization": f"Bearer {token.token}"})


def look(side: Side, name: str, figures: Figures) -> None:
    """What a call answers and how many statements it takes, once it is warm."""
    path = figures.call.address
    for _ in range(MIN_REQUESTS + 1):
        answer = side.ask(path)
    figures.statements[name] = min(counted(side, path) for _ in range(MIN_REQUESTS))
    listed: list[Sequence[Any]] = [value for value in answer.values() if isinstance(value, list)]
    figures.rows[name] = len(listed[0]) if listed else 1
    is_capped = answer.get("totalIsCapped", answer.get("total_is_capped"))
    figures.totals[name] = f"{answer['total']:,}{'+' if is_capped else ''}" if "total" in answer else ""


def counted(side: Side, path: str) -> float:
    """The statements that the worker has sent meanwhile; a heartbeat of its own may be among them."""
    before = side.statements()
    side.ask(path)
    return side.statements() - before


def measure(sides: dict[str, Side], calls: Sequence[Call], rounds: int) -> list[Figures]:
    """Both sides in turn, call by call and request by request, so that what else the machine does meets both.

    What is over the bar gets twice as many rounds more, all of which count.
    """
    figures = [Figures(call) for call in calls]
    for one in figures:
        for name in SIDES:
            look(sides[name], name, one)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for one in figures:
            add_round(sides, one)
    for one in figures:
        if not one.is_met:
            print(f"again: {one.call.name}, {one.ratio:.2f} so far", file=sys.stderr)
            for _ in range(2 * rounds):
                add_round(sides, one)
    return figures


def add_round(sides: dict[str, Side], figures: Figures) -> None:
    """The quickest request of each side: all do the same, and what else the machine does makes them longer only."""
    for name, took in in_turn(sides, figures.call.address).items():
        figures.rounds[name].append(min(took))


def in_turn(sides: dict[str, Side], path: str) -> dict[str, list[float]]:
    """How long each of some requests to each side has taken."""
    took: dict[str, list[float]] = {name: [] for name in SIDES}
    ends = time.perf_counter() + SECONDS
    for turn in itertools.count():
        if turn >= MIN_REQUESTS and time.perf_counter() >= ends:
            break
        for name in sorted(SIDES, reverse=turn % 2 == 0):
            took[name].append(sides[name].milliseconds(path))
    return took


async def run(small: str, large: str, folder: Path, calls: Sequence[Call], rounds: int) -> list[Figures]:
    """Start both servers and measure."""
    given = {"PORTAL_LOG_LEVEL": "info", **AT_REST}
    async with (
        served(small, folder, workers=1, **given) as small_server,
        served(large, folder, workers=1, **given) as large_server,
    ):
        sides = {"small": await side_of(small_server), "large": await side_of(large_server)}
        return await asyncio.to_thread(measure, sides, calls, rounds)


def main() -> int:
    """Answer the exit code."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--small", help="a database with few tenants, made by bench.growth")
    options.add_argument("--large", help="one with many")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", default="", help="calls whose name holds this text")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    if bool(chosen.small) != bool(chosen.large):
        options.error("--small and --large belong together")
    calls = [call for call in CALLS if chosen.only in call.name]
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as room:
        named = contextlib.nullcontext((chosen.small, chosen.large))
        with named if chosen.small else grown(Path(room)) as (small, large):
            figures = asyncio.run(run(small, large, Path(room), calls, chosen.rounds))
    if chosen.json:
        print(json.dumps([one.told() for one in figures], indent=1))
    else:
        columns = ("call", "rows", "total", "statements", "small, ms", "large, ms", "ratio", "")
        print(table(columns, (one.cells for one in figures)))
        print(f"\n{sum(not one.is_met for one in figures)} of {len(figures)} over {MAX_RATIO}")
    return 0 if all(one.is_met for one in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
