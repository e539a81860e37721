"""The bounds of what both databases can hold."""

from __future__ import annotations

from typing import Final

# The largest number that is an id in either database.
MAX_ID: Final = 2**63 - 1

# The largest number that a column of small figures (runs, devices) holds.
MAX_FIGURE: Final = 2**31 - 1

# PostgreSQL keeps no NUL in a text.
NO_NUL: Final = r"^[^\x00]*$"
