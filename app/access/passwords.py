"""Passwords, hashed with argon2id in a thread, and never so many at a time that they take the machine."""

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

# 32 MiB and three passes: some seventy milliseconds of one core, above what OWASP asks for at the least.
TIME_COST = 3
MEMORY_KIB = 32 * 1024
SALT_BYTES = 16
HASH_BYTES = 32
AT_A_TIME = 1
MAX_WAITING = 40
RETRY_SECONDS = 5

Result = TypeVar("Result")


class Passwords:
    """Makes and checks password hashes; one at a time in each worker, the others wait, too many are refused."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(TIME_COST, MEMORY_KIB, 1, HASH_BYTES, SALT_BYTES)
        self._nobody = _nobody()
        # Threads of its own: work that nobody waits for any more still counts against how many there are.
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash to store; raises OverloadedError when too many wait."""
        return await self._in_turn(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; where none is stored the same work is done, so that its time tells nothing.

        Raises OverloadedError when too many wait.
        """

        def matches() -> bool:
            try:
                self._hasher.verify(stored or self._nobody, password)
            except (VerificationError, InvalidHashError):
                return False
            return stored is not None

        return await self._in_turn(matches)

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Begin nothing new."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MAX_WAITING:
            raise OverloadedError(retry_after=RETRY_SECONDS)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _nobody() -> str:
    """A hash that no password has, at the same costs; made of random bytes, because hashing would take its time."""
    salt, digest = (b64encode(os.urandom(size)).decode().rstrip("=") for size in (SALT_BYTES, HASH_BYTES))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={TIME_COST},p=1${salt}${digest}"
