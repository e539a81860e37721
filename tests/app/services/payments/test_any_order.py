"""Histories told in any order, any number of times, with a crash after any statement, end in one and the same state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from support.databases import settings_for
from support.stripe_histories import EVENTS, TALES, history
from support.stripe_places import state_hash, stored, with_plans, with_tenant
from support.stripe_story import Event, Story

from app.context import Actor, Context
from app.database.connections import Database
from app.runtime import Runtime
from app.services.payments.folding import customers_waiting, fold_once

FULL = os.environ.get("PORTAL_PROOF") == "full"
SEED = os.environ.get("PORTAL_FOLD_SEED", "2026")
# Shuffles of each of the ten histories, on each database.
SHUFFLES = 100 if FULL else 1
# Of twenty statements one is the last that a process comes to.
CRASHES = 20


class CrashError(BaseException):
    """The process has died."""


class Crashing:
    """Counts statements, and dies before one now and then."""

    def __init__(self, draw: Random) -> None:
        self.draw, self.is_armed, self.deaths = draw, False, 0

    def __call__(self) -> None:
        if self.is_armed and self.draw.randrange(CRASHES) == 0:
            self.deaths += 1
            raise CrashError


@contextlib.asynccontextmanager
async def process(database: str, folder: Path, crashing: Crashing) -> AsyncIterator[Context]:
    runtime = Runtime(settings_for(database, folder))
    first, runtime.db = runtime.db, Database(runtime.settings, crashing)
    await first.close()
    try:
        yield Context(runtime, Actor("stripe", "stripe"))
    finally:
        await runtime.close()


async def told(ctx: Context, crashing: Crashing, events: Sequence[Event]) -> None:
    """Deliver events, and fold whenever it comes to it; whatever dies is begun again, as Stripe and the sweep do."""
    waiting = list(events)
    customers: set[int] = set()
    while waiting or customers:
        crashing.is_armed = True
        try:
            if waiting and (not customers or crashing.draw.random() < 0.8):
                customers |= await stored(ctx, waiting[:1])
                waiting.pop(0)
            else:
                (customer,) = customers
                assert await fold_once(ctx, customer, can_ask=False) == []
                customers.clear()
        except CrashError:
            continue
        finally:
            crashing.is_armed = False


@pytest.mark.parametrize("tale", TALES, ids=lambda tale: tale.__name__)
async def test_a_history_ends_in_one_state(database: str, tmp_path: Path, tale: Callable[[Story], None]) -> None:
    draw = Random(f"{SEED}:{tale.__name__}")
    crashing, seen = Crashing(draw), set()
    async with process(database, tmp_path, crashing) as ctx:
        await with_plans(ctx)
        for number in range(SHUFFLES + 1):
            # Each time another tenant with the same history; ids are those of the same objects in another account.
            name = f"{tale.__name__}_{number}"
            tenant_id = await with_tenant(ctx, name)
            events = history(tale, name, tenant_id)
            assert len(events) == EVENTS
            if number:
                events = [*events, *draw.choices(events, k=EVENTS // 4)]
                draw.shuffle(events)
            await told(ctx, crashing, events)
            assert await customers_waiting(ctx) == []
            seen.add(await state_hash(ctx, tenant_id, name))

    assert len(seen) == 1
    assert crashing.deaths >= SHUFFLES * 3
