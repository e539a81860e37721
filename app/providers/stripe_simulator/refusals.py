"""What the simulator refuses, as Stripe does: a status and an error object."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):  # noqa: N818 - an answer of the simulated server, no error of the portal
    """A request is answered with an error of Stripe's kind."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        is_recorded: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        # Whether what was tried stays, as an attempt to be paid does.
        self.is_recorded = is_recorded
        self.body = {"error": {"type": kind, "message": message, **more}}


def missing(kind: str, object_id: str) -> Refusal:
    """There is no such object."""
    words = kind.replace("_", " ").replace(".", " ")
    return Refusal(f"No such {words}: '{object_id}'", status=404, code="resource_missing", param="id")


def wrong(param: str, message: str) -> Refusal:
    """A parameter is missing or cannot be used."""
    return Refusal(message, param=param)
