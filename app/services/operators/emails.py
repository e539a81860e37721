"""The e-mail addresses of operators, and the limits on attempts to sign in."""

from __future__ import annotations

import re

from app import typed_text
from app.context import Context
from app.errors import AccountRateLimitedError, RateLimitedError, ValidationError
from app.limits.addresses import network_of
from app.limits.exact_limits import ExactLimit, count_hit

# Enough for any address, and it leaves room in an event's title.
MAX_CHARACTERS = 200
_ADDRESS = re.compile(r"[^\s@\x00-\x1f<>]+@[^\s@\x00-\x1f<>.]+(\.[^\s@\x00-\x1f<>.]+)*")

WINDOW_SECONDS = 600
ACCOUNT_WINDOW_SECONDS = 3600


def read_address(text: str) -> str:
    """An e-mail address in lower case; raises ValidationError naming the field ``email``."""
    text = typed_text.stripped(text)
    address = text.lower()
    # A letter of another script may become an ASCII letter in lower case, and the address that of somebody else.
    if not text.isascii() or len(address) > MAX_CHARACTERS or not _ADDRESS.fullmatch(address):
        raise ValidationError.of("email", "This is not an e-mail address.", kind="email")
    return address


async def count_attempt(ctx: Context, what: str, account: str | None = None) -> None:
    """Count an attempt to sign in for the network address, and for the account that it names, whether it exists or not.

    Raises RateLimitedError after too many attempts from the address, AccountRateLimitedError after too many attempts at
    the account, from whatever addresses.
    """
    settings = ctx.runtime.settings
    by_address = ExactLimit(f"operator {what}", settings.sign_ins_per_address, WINDOW_SECONDS)
    by_account = ExactLimit(f"operator {what} by account", settings.sign_ins_per_account, ACCOUNT_WINDOW_SECONDS)
    account_wait = None
    async with ctx.write() as conn:
        wait = await count_hit(conn, ctx, by_address, network_of(ctx.address))
        # An attempt that is refused for its address is not counted for the account.
        if wait is None and account is not None:
            account_wait = await count_hit(conn, ctx, by_account, account)
    if wait is not None:
        raise RateLimitedError(retry_after=wait)
    if account_wait is not None:
        raise AccountRateLimitedError(retry_after=account_wait)
