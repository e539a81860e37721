"""A rehearsal: a tenant's stored history once more, shuffled, doubled and interrupted, in scratch databases."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from pydantic import SecretStr

from app.context import Context
from app.database import schema
from app.database.connections import Database
from app.errors import HistoryNotFoundError
from app.runtime import Runtime
from app.services.billing.fact_log import add_fact
from app.services.billing.facts import Fact
from app.services.directory.lookup import Tenant, tenant_named
from app.services.payments.folding import STRIPE, StoredFact, fold_once
from app.services.payments.outcome import outcome_of
from app.settings import Settings
from sql.statements import folding
from sql.statements import rehearsals as statements

# Of so many statements one is the last that a process comes to.
_CRASHES: Final = 25
# How many facts are added before they are folded, at most.
_AT_ONCE: Final = 5


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How it went: the hash of the straight order's end, and the numbers of the rounds that ended otherwise.

    ``is_as_stored`` says whether the stored state is the one that follows from the stored history.
    """

    tenant: str
    facts: int
    rounds: int
    crashes: int
    seed: str
    hash: str
    different: list[int]
    is_as_stored: bool

    @property
    def is_good(self) -> bool:
        """Whether every round has ended as the straight order, and that is what is stored."""
        return not self.different and self.is_as_stored


class _Customer(NamedTuple):
    id: int
    stripe_customer_id: str
    state_hash: bytes | None
    tenant_id: int


class _History(NamedTuple):
    """What a rehearsal needs to know."""

    tenant: Tenant
    customer: _Customer
    facts: Sequence[Fact]
    plans: Sequence[Mapping[str, Any]]
    checkouts: Sequence[Mapping[str, Any]]


class _End(NamedTuple):
    """Where a round has ended, and how often it was interrupted."""

    outcome: bytes
    state_hash: bytes | None
    crashes: int


class _CrashError(Exception):
    """Here a process has died."""


class _Crashes:
    """Called before each statement: now and then none follows."""

    def __init__(self, draw: Random) -> None:
        self.draw, self.count, self.is_armed = draw, 0, False

    def __call__(self) -> None:
        if self.is_armed and self.draw.randrange(_CRASHES) == 0:
            self.count += 1
            raise _CrashError


async def rehearse(ctx: Context, tenant_slug: str, *, rounds: int, seed: str) -> Rehearsal:
    """Replay the tenant's history so many times, and compare where each ends with the straight order.

    Nothing of the portal is changed. Raises TenantNotFoundError, or HistoryNotFoundError where Stripe has told nothing.
    """
    history, draw = await _read(ctx, tenant_slug), Random(seed)  # noqa: S311 - it chooses an order
    async with _folder() as folder:
        settings = _scratch(ctx.runtime.settings, folder, "empty")
        await schema.upgrade(settings)
        ends = []
        for number in range(rounds + 1):
            crashing = _Crashes(draw)
            async with _copy(settings, folder, f"round-{number}", crashing) as scratch:
                ends.append(await _round(scratch, history, crashing, is_straight=number == 0))
    straight, *others = ends
    return Rehearsal(
        tenant=history.tenant.slug,
        facts=len(history.facts),
        rounds=rounds,
        crashes=sum(end.crashes for end in others),
        seed=seed,
        hash=hashlib.sha256(straight.outcome).hexdigest(),
        different=[number for number, end in enumerate(others, 1) if end.outcome != straight.outcome],
        is_as_stored=history.customer.state_hash == straight.state_hash,
    )


async def _round(ctx: Context, history: _History, crashing: _Crashes, *, is_straight: bool) -> _End:
    """One replay of the history in a database of its own: in its order, or shuffled, doubled and interrupted."""
    facts = list(history.facts)
    if not is_straight:
        facts += crashing.draw.choices(facts, k=len(facts))
        crashing.draw.shuffle(facts)
    await _seed(ctx, history)
    await _tell(ctx, history.customer.id, facts, crashing, may_crash=not is_straight)
    async with ctx.read() as conn:
        customer = await conn.one(statements.customer_of_tenant, _Customer, tenant_slug=history.tenant.slug)
    return _End(await outcome_of(ctx, history.tenant.id), customer.state_hash, crashing.count)


@contextlib.asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    """A folder for the scratch databases, which are removed with it."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="portal-rehearsal-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _read(ctx: Context, tenant_slug: str) -> _History:
    tenant = await tenant_named(ctx, tenant_slug)
    async with ctx.read() as conn:
        customer = await conn.maybe(statements.customer_of_tenant, _Customer, tenant_slug=tenant.slug)
        if customer is None:
            raise HistoryNotFoundError(slug=tenant.slug)
        stored = await conn.many(folding.facts_of_customer, StoredFact, customer_id=customer.id)
        plans = await conn.rows(statements.all_plans)
        checkouts = await conn.rows(statements.opened_checkouts, tenant_id=tenant.id)
    facts = sorted((each.fact for each in stored), key=lambda fact: (fact.happened_at, fact.id))
    return _History(tenant, customer, facts, [row._asdict() for row in plans], [row._asdict() for row in checkouts])


def _scratch(settings: Settings, folder: Path, name: str) -> Settings:
    """The same settings on a file of its own, with nobody to ask."""
    place = {"database_url": SecretStr(f"sqlite+aiosqlite:///{folder / name}.db"), "state_dir": folder}
    return settings.model_copy(update=place)


@contextlib.asynccontextmanager
async def _copy(settings: Settings, folder: Path, name: str, crashing: _Crashes) -> AsyncIterator[Context]:
    """A context on a copy of the empty database, whose statements may be the last of a process."""
    own = _scratch(settings, folder, name)
    await asyncio.to_thread(shutil.copy, folder / "empty.db", folder / f"{name}.db")
    runtime = Runtime(own)
    first, runtime.db = runtime.db, Database(own, crashing)
    await first.close()
    try:
        yield Context(runtime, STRIPE)
    finally:
        await runtime.close()
        await asyncio.to_thread((folder / f"{name}.db").unlink)


async def _seed(ctx: Context, history: _History) -> None:
    now, tenant, customer = ctx.now(), history.tenant, history.customer
    moments = {"created_at": now, "updated_at": now}
    async with ctx.write() as conn:
        if history.plans:
            await conn.insert_all(statements.insert_plans, history.plans)
        row = {"id": tenant.id, "name": tenant.name, "slug": tenant.slug, **moments}
        await conn.affected(statements.insert_tenant, **row)
        if history.checkouts:
            rows = [{**row, "state": "open"} for row in history.checkouts]
            await conn.insert_all(statements.insert_checkouts, rows)
        named = {"id": customer.id, "stripe_customer_id": customer.stripe_customer_id, "tenant_id": tenant.id}
        await conn.affected(statements.insert_customer, **named, created_at=now)


async def _tell(ctx: Context, customer_id: int, facts: Sequence[Fact], crashing: _Crashes, *, may_crash: bool) -> None:
    """Add the facts in this order, and fold every now and then; what dies is begun again."""
    waiting, unfolded = list(facts), 0
    while waiting or unfolded:
        crashing.is_armed = may_crash
        try:
            if waiting and unfolded < (crashing.draw.randint(1, _AT_ONCE) if may_crash else 1):
                await _add(ctx, customer_id, waiting[0])
                waiting.pop(0)
                unfolded += 1
            else:
                await fold_once(ctx, customer_id, can_ask=False)
                unfolded = 0
        except _CrashError:
            continue
        finally:
            crashing.is_armed = False


async def _add(ctx: Context, customer_id: int, fact: Fact) -> None:
    async with ctx.write() as conn:
        await add_fact(
            conn,
            ctx,
            customer_id,
            source=fact.source,
            type=fact.type,
            reference=fact.reference,
            object_id=fact.object_id,
            happened_at=fact.happened_at,
            payload=fact.payload,
        )
