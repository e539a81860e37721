"""How a route is added, whatever answers there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sanic import Blueprint, Sanic


def add_route(
    to: Sanic[Any, Any] | Blueprint, handler: Callable[..., Any], path: str, methods: Sequence[str], name: str
) -> None:
    """Make a handler answer at a path.

    Errors have one form that is not the framework's. Where it is not told a form, it parses the source of each handler
    to guess one, which is a tenth of the time until the server answers.
    """
    to.add_route(handler, path, methods=methods, name=name, error_format="json")
