"""Waiting for room: a call that fits once what is reserved has settled waits in line instead of being refused."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from weakref import WeakKeyDictionary

from app.context import Context
from app.errors import UnavailableError
from app.runtime import Runtime
from app.services.ledger.reservations import (
    Balance,
    DefaultBudgets,
    DoesNotFitError,
    Hold,
    balances,
    reserve,
)
from app.services.ledger.settlements import Closing, Settle

# How often whoever stands first in line tries again, for what other processes settle.
POLL_SECONDS = 0.1


class RefusedError(Exception):
    """There is no room, and waiting does not help, or has not helped; ``balance`` is the account that is full."""

    def __init__(self, balance: Balance) -> None:
        self.balance = balance
        super().__init__(balance.level)


class Lines:
    """The lines of one process: one for each account that was found full, in the order of arrival."""

    def __init__(self) -> None:
        self._lines: dict[int, asyncio.Lock] = {}
        self._waiting: dict[int, int] = {}
        self._settled = asyncio.Event()

    def settled(self) -> None:
        """Let everybody who stands first try again, because something was settled or released."""
        self._settled.set()
        self._settled = asyncio.Event()

    def full_accounts(self, account_ids: Sequence[int]) -> list[int]:
        """Those of the accounts for which somebody waits already."""
        return [account_id for account_id in sorted(account_ids) if self._waiting.get(account_id)]

    @contextlib.asynccontextmanager
    async def turn(self, account_ids: Sequence[int]) -> AsyncIterator[None]:
        """Stand in the lines of these accounts until it is this caller's turn in each of them."""
        async with contextlib.AsyncExitStack() as stack:
            for account_id in sorted(account_ids):
                self._waiting[account_id] = self._waiting.get(account_id, 0) + 1
                stack.callback(self._leave, account_id)
                await stack.enter_async_context(self._lines.setdefault(account_id, asyncio.Lock()))
            yield

    async def change(self, seconds: float) -> None:
        """Return when something was settled in this process, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    def _leave(self, account_id: int) -> None:
        self._waiting[account_id] -= 1
        if not self._waiting[account_id]:
            del self._waiting[account_id]
            del self._lines[account_id]


_lines: WeakKeyDictionary[Runtime, Lines] = WeakKeyDictionary()


def lines_of(ctx: Context) -> Lines:
    """The lines of this process."""
    return _lines.setdefault(ctx.runtime, Lines())


async def reserve_in_turn(
    ctx: Context, hold: Hold, budgets: DefaultBudgets, wait_seconds: float, settle: Settle
) -> int:
    """Reserve, waiting in line for as long as that may help; answers the reservation's id.

    It holds no connection while it waits, and who comes later does not overtake whoever waits for the same account.
    A caller that is cancelled holds nothing: what it has just reserved is released, by ``settle``. Raises
    RefusedError.
    """
    lines, ends = lines_of(ctx), time.monotonic() + wait_seconds
    full = lines.full_accounts(hold.account_ids)
    if not full:
        try:
            return await _reserve(ctx, hold, budgets, settle)
        except DoesNotFitError:
            full = [(await _refuse_if_hopeless(ctx, hold, budgets)).id]
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(wait_seconds):
                await stack.enter_async_context(lines.turn(full))
        except TimeoutError:
            raise RefusedError(await _fullest(ctx, hold, budgets)) from None
        while True:
            with contextlib.suppress(DoesNotFitError):
                return await _reserve(ctx, hold, budgets, settle)
            balance = await _refuse_if_hopeless(ctx, hold, budgets)
            if (left := ends - time.monotonic()) <= 0:
                raise RefusedError(balance)
            await lines.change(min(POLL_SECONDS, left))


async def _reserve(ctx: Context, hold: Hold, budgets: DefaultBudgets, settle: Settle) -> int:
    """Reserve in a transaction that runs to its end; a caller that is cancelled meanwhile gives back what it holds."""
    reserving = reserve(ctx, hold, budgets)
    try:
        return await asyncio.shield(reserving)
    except asyncio.CancelledError:
        await ctx.runtime.to_its_end(_give_back(ctx, reserving, settle))
        raise


async def _give_back(ctx: Context, reserving: asyncio.Future[int], settle: Settle) -> None:
    """Release what was reserved for nobody; the deadline does it if the database does not answer now."""
    with contextlib.suppress(DoesNotFitError, UnavailableError):
        await settle(ctx, [Closing(await reserving, "released", 0)])
        lines_of(ctx).settled()


async def _refuse_if_hopeless(ctx: Context, hold: Hold, budgets: DefaultBudgets) -> Balance:
    """The account that is full; raises RefusedError if nothing of what is reserved could make room."""
    balance = await _fullest(ctx, hold, budgets)
    if not balance.would_fit(hold.amount):
        raise RefusedError(balance)
    return balance


async def _fullest(ctx: Context, hold: Hold, budgets: DefaultBudgets) -> Balance:
    """The account with the least room: one that is settled beyond the amount comes before one that is only reserved."""
    async with ctx.read() as conn:
        all_balances = await balances(conn, hold.account_ids, budgets)
    return min(all_balances, key=lambda balance: (balance.would_fit(hold.amount), balance.room))
