"""Requests that cannot be read or find nothing."""

from __future__ import annotations

from typing import Any

from app.errors.root import PortalError


class RequestError(PortalError):
    """The request cannot be understood."""

    code = "bad_request"
    status = 400


class MalformedBodyError(RequestError):
    """The body is not valid JSON: {reason}.

    Send one JSON object, encoded as UTF-8.
    """

    code = "malformed_body"


class ValidationError(RequestError):
    """A field of the request is missing or wrong."""

    code = "validation_error"
    status = 422

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        self.errors = errors
        super().__init__()

    @property
    def message(self) -> str:
        """Name the first wrong field; the problem's ``detail`` lists all of them."""
        first = self.errors[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return f"{field}: {first['msg']}"


class PayloadTooLargeError(RequestError):
    """The body is larger than {limit} bytes.

    Send it in smaller parts.
    """

    code = "payload_too_large"
    status = 413


class NotFoundError(RequestError):
    """There is nothing at this address.

    The addresses that exist are listed at /docs.
    """

    code = "not_found"
    status = 404


class MethodNotAllowedError(RequestError):
    """This address does not answer {method}.

    The header Allow lists what it answers.
    """

    code = "method_not_allowed"
    status = 405


class RequestTimeoutError(RequestError):
    """The request did not arrive whole in time.

    Send it again over a steadier connection.
    """

    code = "request_timeout"
    status = 408
