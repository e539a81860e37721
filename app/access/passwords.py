"""Password hashes with argon2id, computed in a thread, with a limit so that they cannot exhaust the machine."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import OverloadedError

# 32 MiB and three passes: some seventy milliseconds of one core, more than OWASP's minimum.
TIME_COST = 3
MEMORY_KIB = 32 * 1024
SALT_BYTES = 16
HASH_BYTES = 32
CONCURRENCY = 1
MAX_WAITING = 40
RETRY_SECONDS = 5

Result = TypeVar("Result")


class Passwords:
    """Hashes and verifies passwords, one at a time in each worker; beyond MAX_WAITING in the queue it refuses."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(TIME_COST, MEMORY_KIB, 1, HASH_BYTES, SALT_BYTES)
        self._dummy_hash = _dummy_hash()
        # An own executor, because a hash still occupies its thread when its request has been cancelled.
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash to store; raises OverloadedError when too many are waiting."""
        return await self._in_turn(lambda: self._hasher.hash(password))

    async def verify(self, stored_hash: str | None, password: str) -> bool:
        """Whether the password matches the stored hash.

        Without a stored hash it does the same work, so that the time does not reveal whether an account has a password.
        Raises OverloadedError when too many are waiting.
        """

        def matches() -> bool:
            try:
                self._hasher.verify(stored_hash or self._dummy_hash, password)
            except (VerificationError, InvalidHashError):
                return False
            return stored_hash is not None

        return await self._in_turn(matches)

    def is_outdated(self, stored_hash: str) -> bool:
        """Whether a hash has other costs than those configured here."""
        return self._hasher.check_needs_rehash(stored_hash)

    def close(self) -> None:
        """Cancel waiting work and accept no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MAX_WAITING:
            raise OverloadedError(retry_after=RETRY_SECONDS)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _dummy_hash() -> str:
    """A hash with the same costs that no password matches; of random bytes, because computing one takes time."""
    salt, digest = (b64encode(os.urandom(size)).decode().rstrip("=") for size in (SALT_BYTES, HASH_BYTES))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={TIME_COST},p=1${salt}${digest}"
