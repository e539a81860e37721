"""The addresses that operators are known by, and the limit on how often one may try to be one."""

from __future__ import annotations

import re

from app.context import Context
from app.errors import AccountRateLimitedError, RateLimitedError, ValidationError
from app.limits.addresses import network_of
from app.limits.exact_limits import ExactLimit, count_hit

# What is long enough for any address and leaves room in an event's title.
MAX_CHARACTERS = 200
_ADDRESS = re.compile(r"[^\s@\x00-\x1f<>]+@[^\s@\x00-\x1f<>.]+(\.[^\s@\x00-\x1f<>.]+)*")

WINDOW_SECONDS = 600
ACCOUNT_WINDOW_SECONDS = 3600


def read_address(text: str) -> str:
    """An e-mail address in lower case; raises ValidationError naming the field ``email``."""
    address = text.strip().lower()
    # Letters of other scripts turn into our own when they are made small; nobody is to become somebody else by that.
    if not text.isascii() or len(address) > MAX_CHARACTERS or not _ADDRESS.fullmatch(address):
        told = {"type": "email", "loc": ["body", "email"], "msg": "This is not an e-mail address."}
        raise ValidationError([told])
    return address


async def count_attempt(ctx: Context, what: str, account: str | None = None) -> None:
    """Count one attempt of this kind to sign in, and against an account where one was named, known or not.

    Raises RateLimitedError for an address that has made too many, AccountRateLimitedError for an account that has met
    too many, wherever they came from.
    """
    settings = ctx.runtime.settings
    by_address = ExactLimit(f"operator {what}", settings.sign_ins_per_address, WINDOW_SECONDS)
    by_account = ExactLimit(f"operator {what} by account", settings.sign_ins_per_account, ACCOUNT_WINDOW_SECONDS)
    account_wait = None
    async with ctx.write() as conn:
        wait = await count_hit(conn, ctx, by_address, network_of(ctx.address))
        # Who is refused already takes no room from the account.
        if wait is None and account is not None:
            account_wait = await count_hit(conn, ctx, by_account, account)
    if wait is not None:
        raise RateLimitedError(retry_after=wait)
    if account_wait is not None:
        raise AccountRateLimitedError(retry_after=account_wait)
