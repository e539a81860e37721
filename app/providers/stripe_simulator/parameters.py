"""Stripe's way of writing parameters: ``items[0][price]=...`` in a form or in the query."""

from __future__ import annotations

import re
from collections import UserDict
from typing import Any
from urllib.parse import parse_qsl

from app.providers.stripe_simulator.refusals import Refusal, wrong

MAX_FIELDS = 500
_PART = re.compile(r"\[([^\[\]]*)\]")


class Parameters(UserDict[str, Any]):
    """Parameters of one level; what is nested is a dict, and so is a list, by number."""

    def text(self, name: str, default: str = "") -> str:
        """A text; an empty one where it was not sent."""
        value = self.get(name, default)
        if not isinstance(value, str):
            raise wrong(name, f"Invalid string: {name}")
        return value

    def needed(self, name: str) -> str:
        """A text that must have been sent."""
        if not (value := self.text(name)):
            raise wrong(name, f"Missing required param: {name}.")
        return value

    def optional(self, name: str) -> str | None:
        """A text, or None where it was not sent or is empty."""
        return self.text(name) or None

    def address(self, name: str) -> str | None:
        """The address of a page, which becomes a link; None where it was not sent."""
        address = self.optional(name)
        if address is not None and not address.startswith(("http://", "https://")):
            raise wrong(name, f"Not a valid URL: {name}")
        return address

    def number(self, name: str, default: int = 0) -> int:
        """A whole number."""
        text = self.text(name, str(default))
        if not re.fullmatch(r"-?\d{1,12}", text):
            raise wrong(name, f"Invalid integer: {text}")
        return int(text)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A truth value."""
        text = self.text(name, "true" if default else "false")
        if text not in {"true", "false"}:
            raise wrong(name, f"Invalid boolean: {text}")
        return text == "true"

    def nested(self, name: str) -> Parameters:
        """What is nested; nothing where it was not sent."""
        value = self.get(name, {})
        return Parameters(value) if isinstance(value, dict) else Parameters({})

    def entries(self, name: str) -> list[Parameters]:
        """The entries of a list, each of them nested."""
        return [Parameters(entry) for entry in self.nested(name).values() if isinstance(entry, dict)]

    def texts(self, name: str) -> list[str]:
        """The entries of a list of texts."""
        return [str(entry) for entry in self.nested(name).values() if isinstance(entry, str)]

    def metadata(self) -> dict[str, str]:
        """The metadata that were sent."""
        return {key: value for key, value in self.nested("metadata").items() if isinstance(value, str)}


def parse_parameters(text: str) -> Parameters:
    """The parameters of a form or a query; raises Refusal where they cannot be read."""
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refusal("Invalid request: too many parameters.") from None
    values: dict[str, Any] = {}
    for name, value in fields:
        head, _, tail = name.partition("[")
        path = [head, *(_PART.findall(f"[{tail}") if tail else ())]
        here = values
        for part in path[:-1]:
            here = here.setdefault(part or str(len(here)), {})
            if not isinstance(here, dict):
                raise wrong(name, f"Invalid parameter: {name}")
        here[path[-1] or str(len(here))] = value
    return Parameters(values)
