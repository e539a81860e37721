"""A request whose body is read when it is known who asks, and not before."""

from __future__ import annotations

from typing import Any

from sanic import Request

from app.errors import BodyNotExpectedError


class ArrivingRequest(Request):
    """The framework's request, of which it reads nothing by itself."""

    __slots__ = ()

    async def receive_body(self) -> None:
        """Asked by the framework before any handler: one that takes bodies reads it itself, any other refuses it."""
        route: Any = self.route
        if not getattr(route.handler, "takes_body", False):
            raise BodyNotExpectedError
