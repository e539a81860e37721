"""How much of bodies that are still arriving a worker holds, all together and for one address."""

from __future__ import annotations

from collections import Counter
from typing import Final

from app.errors import BodiesFullError

# Of all that may be held, one address may hold this part.
SHARE: Final = 4


class HeldBodies:
    """The bytes that are held; what arrived together with its head is not counted, because nobody waits for more."""

    def __init__(self, max_bytes: int, max_body: int) -> None:
        self.held = 0
        self._max = max_bytes
        self._max_of_one = max(max_bytes // SHARE, max_body)
        self._by_address: Counter[str] = Counter()

    def add(self, address: str, size: int) -> None:
        """Count so many bytes more; raises BodiesFullError, and counts nothing then."""
        if self.held + size > self._max or self._by_address[address] + size > self._max_of_one:
            raise BodiesFullError
        self.held += size
        self._by_address[address] += size

    def release(self, address: str, size: int) -> None:
        """So many bytes are not held any more."""
        self.held -= size
        self._by_address[address] -= size
        if self._by_address[address] <= 0:
            del self._by_address[address]
