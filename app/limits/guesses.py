"""Guesses: an address may name codes and tenants that do not exist so often a minute, and is told to wait then."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from app.context import Context
from app.errors import CodeUnknownError, TenantNotFoundError
from app.limits.addresses import network_of


@contextlib.asynccontextmanager
async def guessing(ctx: Context) -> AsyncIterator[None]:
    """Count it for the caller's address if the block finds no such code or tenant.

    Raises RateLimitedError, before the block, for an address that has guessed too often: what it asks next would tell
    it whether that exists.
    """
    address = network_of(ctx.address) or "unknown"
    limits = ctx.runtime.rate_limits
    async with limits.guessing(address):
        try:
            yield
        except (CodeUnknownError, TenantNotFoundError):
            await limits.count_guess(address)
            raise
