"""Claims of a person: finding one by its name, also within others, and the names that it lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def claim_at(claims: Any, name: str) -> Any:
    """The claim of this name, or at this path: ``realm_access.roles`` is ``roles`` within ``realm_access``.

    A name may have dots itself, as addresses have that some providers use for names. None where there is no such claim.
    """
    if not isinstance(claims, Mapping):
        return None
    if name in claims:
        return claims[name]
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        found = claim_at(claims.get(".".join(parts[:count])), ".".join(parts[count:]))
        if found is not None:
            return found
    return None


def names_in(claim: Any) -> frozenset[str]:
    """The names that a claim lists: a text, the texts of a list, or the keys of a map whose value is something.

    A key whose value is false, null or empty is not given to the person.
    """
    if isinstance(claim, Mapping):
        return frozenset(str(name) for name, value in claim.items() if value)
    listed = claim if isinstance(claim, list) else [claim]
    return frozenset(name for name in listed if isinstance(name, str))
