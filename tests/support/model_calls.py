"""Calls of models against the fake provider, and what the ledger and the log say of them afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from support.blocking import nothing_blocks
from support.databases import settings_for
from support.fake_llm import FakeModels

from app.clock import Clock
from app.context import Actor, Context
from app.runtime import Runtime
from app.services.ledger.accounts import Owner
from app.services.ledger.upkeep import verify
from app.services.llm.calls import ModelAnswer, ModelRequest, call_model, owner_of_project
from app.services.llm.prices import set_price
from app.services.llm.setting_values import Provider
from app.services.llm.system_settings import update_system_settings
from sql.tables import ledger_accounts, ledger_reservations, llm_calls, model_answers, projects

PROVIDERS: tuple[Provider, ...] = ("openai", "anthropic", "gemini")
MAX_TOKENS = 100
# In 1e-9 USD for one token.
INPUT, CACHED, OUTPUT = 1000, 100, 5000
PRICE = {
    "input_price": INPUT * 10**6,
    "cached_input_price": CACHED * 10**6,
    "output_price": OUTPUT * 10**6,
}
# What the fake's standing answer costs.
USUAL = 11 * INPUT + 7 * OUTPUT
# What a body's bytes do not show.
BESIDE = 2048
RICH = 10**15


class Row(NamedTuple):
    """What the usage log says of an attempt."""

    request_id: str
    provider: str
    model: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost: int
    success: bool
    error_message: str | None
    tenant_id: int | None
    project_id: str | None
    agent_type: str
    cached: bool


class Held(NamedTuple):
    """A reservation."""

    request_id: str
    amount: int
    state: str
    used: int | None


@dataclass(frozen=True)
class Calling:
    """A process that calls models of the fake; each model is one of its own test."""

    ctx: Context
    fake: FakeModels
    models: dict[Provider, str]

    @classmethod
    async def prepared(
        cls, ctx: Context, fake: FakeModels, *order: Provider, retries: int = 0, **settings: Any
    ) -> Calling:
        """The providers in this order, each with a new model that has a price; nothing limits what is spent.

        No answer is kept and none is judged, unless these settings of the system say so.
        """
        name = uuid.uuid4().hex[:8]
        models = {provider: f"{provider}-{name}" for provider in PROVIDERS}
        for provider, model in models.items():
            await set_price(ctx, provider, model, PRICE)
        first, second, third = (*order, order[-1], order[-1])[:3]
        chosen = {"primary_provider": first, "secondary_provider": second, "tertiary_provider": third}
        values = {"max_tokens": MAX_TOKENS, "retries_per_provider": retries, "temperature": 0.5}
        off = {"cache_enabled": False, "cross_validation_enabled": False}
        budgets = {"monthly_budget": RICH, "daily_budget": RICH}
        named = {f"{provider}_model": model for provider, model in models.items()}
        await update_system_settings(ctx, {**chosen, **values, **off, **budgets, **named, **settings})
        return cls(ctx, fake, models)

    def elsewhere(self, ctx: Context) -> Calling:
        """The same models from another process."""
        return replace(self, ctx=ctx)

    async def project(self, **columns: Any) -> Owner:
        """A new project of nobody."""
        project_id, now = f"project-{uuid.uuid4().hex[:8]}", self.ctx.now()
        row = {"project_id": project_id, "name": "Shop", "created_by": "tests", "created_at": now, "updated_at": now}
        async with self.ctx.write() as conn:
            await conn.affected(insert(projects).values(**row, **columns))
        return await owner_of_project(self.ctx, project_id)

    async def ask(self, prompt: str = "Say hello.", owner: Owner | None = None, **more: Any) -> ModelAnswer:
        """One call of a coder."""
        return await call_model(self.ctx, ModelRequest(prompt, "a test"), owner or Owner(), "coder", **more)

    async def rows(self) -> list[Row]:
        """The log in its order."""
        columns = [llm_calls.c[name] for name in Row._fields]
        async with self.ctx.read() as conn:
            return await conn.many(select(*columns).order_by(llm_calls.c.id), Row)

    async def reservations(self) -> list[Held]:
        """All reservations in their order."""
        columns = [ledger_reservations.c[name] for name in Held._fields]
        async with self.ctx.read() as conn:
            return await conn.many(select(*columns).order_by(ledger_reservations.c.id), Held)

    async def keeping(self, *order: Provider, **settings: Any) -> Calling:
        """As ``prepared``, and answers are kept."""
        return await Calling.prepared(self.ctx, self.fake, *order, cache_enabled=True, **settings)

    async def kept(self) -> Sequence[Any]:
        """The kept answers, and the questions that are being asked."""
        async with self.ctx.read() as conn:
            return await conn.rows(select(model_answers))

    async def until_asked(self) -> None:
        """Return once somebody holds a question."""
        async with asyncio.timeout(30):
            while not any(row.holder for row in await self.kept()):  # noqa: ASYNC110 - rows
                await asyncio.sleep(0.01)

    async def arrivals(self, provider: Provider) -> int:
        """How many requests have arrived at a provider."""
        return len(await self.fake.arrived(self.models[provider]))

    async def until_it_holds(self, count: int = 1) -> None:
        """Return once so many calls have reserved and have not settled."""
        async with asyncio.timeout(30):
            while sum(held.state == "open" for held in await self.reservations()) < count:  # noqa: ASYNC110 - rows
                await asyncio.sleep(0.01)

    async def balances(self) -> set[tuple[int, int]]:
        """What is reserved and what is settled, on every account."""
        async with self.ctx.read() as conn:
            rows = await conn.rows(select(ledger_accounts.c.reserved, ledger_accounts.c.settled))
        return {tuple(row) for row in rows}

    async def proved(self) -> None:
        """Everything is settled, each attempt once, with one row that costs what its reservation has used.

        Rows of kept answers have no reservation and cost nothing.
        """
        held = await self.reservations()
        assert (await verify(self.ctx)).is_right
        assert [each for each in held if each.state == "open"] == []
        rows = await self.rows()
        assert {row.cost for row in rows if row.cached} <= {0}
        paid = [row for row in rows if not row.cached]
        assert {row.request_id: row.cost for row in paid} == {each.request_id: each.used for each in held}
        assert len(paid) == len(held)

    async def worst_cases(self, provider: Provider) -> list[int]:
        """What each request that has arrived may have cost at most."""
        arrived = await self.fake.arrived(self.models[provider])
        return [(request["bytes"] + BESIDE) * INPUT + MAX_TOKENS * OUTPUT for request in arrived]


@contextlib.asynccontextmanager
async def process_that_calls(
    database: str, folder: Path, fake: FakeModels, clock: Clock | None = None, **changes: object
) -> AsyncIterator[Calling]:
    """A runtime whose providers are the fake; its waits are short."""
    quick = {"provider_timeout_seconds": 1.0, "provider_retry_seconds": 0.01, "provider_cooldown_seconds": 5.0}
    values = {**fake.settings, **quick, **changes}
    settings = await asyncio.to_thread(settings_for, database, folder, **values)
    runtime = await asyncio.to_thread(Runtime, settings, clock)
    try:
        with nothing_blocks():
            yield Calling(Context(runtime, Actor("system", "tests")), fake, {})
    finally:
        await runtime.drain()
        await runtime.close()
