"""What an identity provider says when it refuses: fit for a log and for a person, and without any secret of ours."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple

# What RFC 6749 allows in ``error`` and ``error_description``; a line end would begin another line of a log.
_FOREIGN = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]+")
MAX_CHARACTERS = 300
# The shortest text that is looked for as a secret: a shorter one is part of many words.
MIN_SECRET = 6
# What a provider answers to a client that it does not know, or whose secret is wrong.
CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client"})


class ProviderWords(NamedTuple):
    """A refusal: the code of the error and what the provider adds, each empty where it says nothing."""

    error: str
    description: str

    @property
    def in_brackets(self) -> str:
        """The code as an addition to a sentence."""
        return f" ({self.error})" if self.error else ""


def words_of(said: Any, secrets: Collection[str] = ()) -> ProviderWords:
    """The words of an answer's body or of a callback's query; anything else has none."""
    if not isinstance(said, dict):
        return ProviderWords("", "")
    error = said.get("error")
    # Some nest it: {"error": {"code": ..., "message": ...}}.
    nested = error if isinstance(error, dict) else {}
    code = nested.get("code") or nested.get("status") if nested else error
    description = said.get("error_description") or nested.get("message")
    return ProviderWords(_fit(code, secrets), _fit(description, secrets))


def _fit(text: Any, secrets: Collection[str]) -> str:
    shown = str(text or "")[: 10 * MAX_CHARACTERS]
    for secret in secrets:
        if len(secret) >= MIN_SECRET:
            shown = shown.replace(secret, "(secret)")
    return _FOREIGN.sub(" ", shown).strip()[:MAX_CHARACTERS]
