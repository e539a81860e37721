"""How a route is added, whatever answers there, and what a number in its path is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sanic import Blueprint, Sanic

from app.numerals import NUMERAL


def _number(part: str) -> int:
    """A part of a path that is a number; how large it may be is for whoever knows who asks."""
    if NUMERAL.fullmatch(part) is None:
        raise ValueError("is not a whole number in digits alone")
    return int(part)


def number_routes(app: Sanic[Any, Any]) -> None:
    """Let ``:int`` in every route of the application match digits alone; any other part of a path leads nowhere.

    The framework's own reads what ``int()`` reads: ``1_7``, ``+17`` and ``017`` would be other names of 17.
    """
    app.router.register_pattern("int", _number, NUMERAL)


def add_route(
    to: Sanic[Any, Any] | Blueprint, handler: Callable[..., Any], path: str, methods: Sequence[str], name: str
) -> None:
    """Make a handler answer at a path.

    Errors have one form that is not the framework's. Where it is not told a form, it parses the source of each handler
    to guess one, which is a tenth of the time until the server answers.
    """
    to.add_route(handler, path, methods=methods, name=name, error_format="json")
