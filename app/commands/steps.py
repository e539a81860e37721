"""A step of the demo: what was asked, what was answered, and what was expected instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Only the first characters of a token are printed, which distinguish tokens but are no credential.
TOKEN_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Step:
    """One step and its answer; ``wrong`` is the expected answer if it differs, else empty."""

    name: str
    asked: str
    answered: str
    wrong: str = ""


def summary(answer: Mapping[str, Any]) -> str:
    """The members that matter to a reader, with tokens shortened."""
    problem = ("errorCode", "detail")
    members = {key: answer[key] for key in problem if key in answer} if "errorCode" in answer else dict(answer)
    members.pop("events", None)
    for key in members:
        if key.endswith("_token"):
            members[key] = f"{members[key][:TOKEN_CHARACTERS]}…"
    return ", ".join(f"{key}={value}" for key, value in members.items())
