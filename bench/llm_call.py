"""What the portal adds to a call of a model, and where that goes; quote the differences.

    .venv/bin/python -m bench.llm_call [--calls N] [--rounds N] [--in-flight N] [--sqlite]

One process and the same fake provider on loopback, which answers after 200 ms: the vendor's own library, the same under
our chain of wrappers, and a call with settings, price, reservation, log and settlement, alternating. Then the calls a
second when the provider answers at once. On the PostgreSQL server that TEST_DATABASE_URL names, or an embedded one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest as Request
from pydantic_ai.models import Model
from sanic.server.loop import try_use_uvloop
from support.databases import postgres_server, settings_for
from support.fake_llm import KEYS, FakeModels, fake_models
from support.model_calls import MAX_TOKENS, Calling

from app.commands.worker import GC_THRESHOLDS
from app.context import Actor, Context
from app.database import schema
from app.providers.chain import chain
from app.providers.guarded import Patience
from app.providers.metering import Outcome, Plan
from app.runtime import Runtime
from app.services.llm import attempts, calls
from app.services.llm.provider_clients import candidates_of
from bench.databases import address

ANSWERS_AFTER = 0.2
PROMPT = "Write a function that adds two numbers. " * 25
# The steps of a call, by the name under which they are shown.
STEPS = {
    "settings and prices": (calls, "call_settings"),
    "accounts": (attempts, "account_ids"),
    "reservation": (attempts, "reserve_in_turn"),
    "settlement and log": (attempts.LedgerMeter, "end"),
}
Call = Callable[[], Awaitable[object]]


class Free:
    """A meter that costs nothing."""

    async def begin(self, plan: Plan) -> None:
        """Let it leave."""

    async def end(self, begun: None, outcome: Outcome) -> None:
        """Nothing to settle."""


async def laps(call: Call, count: int, in_flight: int, spread: float = 0) -> tuple[list[float], float]:
    """Milliseconds of each call, and how many there were in a second; the callers begin within ``spread`` seconds."""
    left, taken = iter(range(count)), []

    async def caller(number: int) -> None:
        await asyncio.sleep(spread * number / in_flight)
        for _ in left:
            began = time.perf_counter()
            await call()
            taken.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(in_flight)))
    return taken, count / (time.perf_counter() - began)


def timed_steps(taken: defaultdict[str, list[float]]) -> None:
    """From now on note the milliseconds of each step, of all calls."""

    def noting(name: str, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(function)
        async def step(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return await function(*arguments, **named)
            finally:
                taken[name].append((time.perf_counter() - began) * 1000)

        return step

    for name, (place, attribute) in STEPS.items():
        setattr(place, attribute, noting(name, getattr(place, attribute)))


async def measure(url: str, folder: Path, fake: FakeModels, options: argparse.Namespace) -> None:
    """All rounds, and what came of them."""
    settings = settings_for(url, folder, **fake.settings)
    await schema.upgrade(settings)
    runtime = Runtime(settings)
    ctx = Context(runtime, Actor("system", "bench"))
    try:
        calling = await Calling.prepared(ctx, fake, "openai")
        owner = await calling.project()
        name = calling.models["openai"]
        sdk = AsyncOpenAI(api_key=KEYS["openai"], base_url=f"{fake.url}/v1", max_retries=0)
        wrapped = await _wrapped(ctx, name)
        request: Any = {
            "model": name,
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": MAX_TOKENS,
            "temperature": 0.5,
        }
        kinds: dict[str, Call] = {
            "bare SDK": lambda: sdk.chat.completions.create(**request),
            "wrapped, unpaid": lambda: model_request(
                wrapped, [Request.user_text_prompt(PROMPT)], model_settings={"max_tokens": MAX_TOKENS}
            ),
            "paid call": lambda: calling.ask(PROMPT, owner),
        }
        await fake.standing(name, delay=ANSWERS_AFTER)
        for call in kinds.values():
            await laps(call, 2 * options.in_flight, options.in_flight)
        steps: defaultdict[str, list[float]] = defaultdict(list)
        timed_steps(steps)
        # As every worker of the server does when it has loaded what it needs.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        taken: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for kind, call in kinds.items():
                taken[kind] += (
                    await laps(call, options.calls, options.in_flight, 0 if options.together else ANSWERS_AFTER)
                )[0]
        _show(taken, steps)
        await fake.standing(name, delay=0)
        for kind, call in kinds.items():
            before = time.process_time()
            _, each_second = await laps(call, options.calls, options.in_flight)
            cpu = (time.process_time() - before) * 1000 / options.calls
            sys.stdout.write(f"{kind}, answered at once: {each_second:.0f} calls/s, {cpu:.2f} ms of CPU each\n")
        await calling.proved()
        await sdk.close()
    finally:
        await runtime.drain()
        await runtime.close()


async def _wrapped(ctx: Context, name: str) -> Model:
    clients, candidates = await candidates_of(ctx, {"openai": name})

    async def nobody(provider: str) -> None:
        """No key is refused here."""

    return chain(
        clients, candidates, Free(), Patience(0, 1, 1), max_tokens=MAX_TOKENS, secrets=(), on_key_refused=nobody
    )


def _show(taken: dict[str, list[float]], steps: dict[str, list[float]]) -> None:
    bare = _percentiles(taken["bare SDK"])
    for kind, every in taken.items():
        p50, p99 = _percentiles(every)
        sys.stdout.write(
            f"{kind}: p50 {p50:.1f} ms, p99 {p99:.1f} ms; added p50 {p50 - bare[0]:.1f}, p99 {p99 - bare[1]:.1f}\n"
        )
    for step, every in steps.items():
        p50, p99 = _percentiles(every)
        sys.stdout.write(f"    {step}: p50 {p50:.2f} ms, p99 {p99:.2f} ms\n")


def _percentiles(every: list[float]) -> tuple[float, float]:
    ordered = sorted(every)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=640, help="of each kind in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--together", action="store_true", help="all callers begin at once, and wait for one CPU")
    parser.add_argument("--sqlite", action="store_true", help="instead of PostgreSQL")
    options = parser.parse_args()
    # As in every process of the server.
    try_use_uvloop()
    with tempfile.TemporaryDirectory(prefix=f"bench-{uuid.uuid4().hex[:6]}") as name, fake_models() as fake:
        folder = Path(name)
        if options.sqlite:
            asyncio.run(measure(f"sqlite+aiosqlite:///{folder}/portal.db", folder, fake, options))
            return
        with postgres_server() as server, address("postgresql", server, folder) as url:
            asyncio.run(measure(url, folder, fake, options))


if __name__ == "__main__":
    main()
