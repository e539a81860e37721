"""Tables of cases that one server goes through: what each was answered, beside what it should be."""

from __future__ import annotations

from typing import Any

from httpx2 import Response

# Enough to tell cases apart; a longer name is cut in its middle.
MAX_NAME = 60


class Findings:
    """What was found of each case of a table and what was expected, as two dicts to be compared at the end.

    So one wrong case does not hide the next one, and a failure names each of them.
    """

    def __init__(self) -> None:
        self.found: dict[str, object] = {}
        self._expected: dict[str, object] = {}

    @property
    def expected(self) -> dict[str, object]:
        """What was expected of each case, of which there is at least one."""
        assert self._expected, "no case was tried"
        return self._expected

    def add(self, case: object, found: object, expected: object) -> None:
        """Note what was found of a case, which has a name of its own: a text, or what the case consists of."""
        name = case if isinstance(case, str) else repr(case)
        if len(name) > MAX_NAME:
            name = f"{name[: MAX_NAME // 2]}...{name[-MAX_NAME // 2 :]}"
        assert name not in self.found, f"two cases are called {name}"
        self.found[name], self._expected[name] = found, expected


def refusal(answer: Response, member: str = "detail") -> tuple[int, str | None, list[list[Any]]]:
    """An answer's status, its error code and the places of the fields that ``member`` names, whatever was answered."""
    body = answer.json() if "json" in answer.headers.get("content-type", "") else None
    if not isinstance(body, dict):
        return answer.status_code, None, []
    named = body.get(member)
    return (
        answer.status_code,
        body.get("errorCode"),
        [wrong["loc"] for wrong in named] if isinstance(named, list) else [],
    )


def invalid(*place: Any) -> tuple[int, str, list[list[Any]]]:
    """The refusal of a request in which one field is wrong, at this place."""
    return 422, "validation_error", [list(place)]
