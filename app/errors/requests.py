"""Requests that cannot be read or find nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, Self

from app.errors.root import PortalError

# In a name as it is sent, in camelCase or snake_case.
_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|_")


class RequestError(PortalError):
    """The request cannot be understood."""

    code = "bad_request"
    status = 400


class MalformedBodyError(RequestError):
    """The body is not valid JSON: {reason}.

    Send one JSON object, encoded as UTF-8.
    """

    code = "malformed_body"


class WrongField(NamedTuple):
    """The way to a field that is missing or wrong, and what is wrong with it, in words and as a word for programs.

    ``place`` is body, query, path or header: whoever reads the request knows, and a use case does not.
    """

    path: tuple[str | int, ...]
    message: str
    kind: str
    place: str | None = None

    @property
    def name(self) -> str:
        """The field as people are told of it; where all of a body is wrong, it is the body."""
        return ".".join(map(str, self.path)) or self.place or ""

    @property
    def sentence(self) -> str:
        """The same in a sentence, the field's name in words: ``otp_code`` is told as Otp code."""
        names = [part for part in self.path if isinstance(part, str)]
        words = _BETWEEN_WORDS.sub(" ", names[-1] if names else self.place or "request").lower()
        return f"{words[:1].upper()}{words[1:]} {self.message.rstrip('.')}."


class ValidationError(RequestError):
    """A field of the request is missing or wrong."""

    code = "validation_error"
    status = 422

    def __init__(self, *fields: WrongField, is_told_in_sentences: bool = False) -> None:
        self.fields = fields
        self.is_told_in_sentences = is_told_in_sentences
        super().__init__()

    @classmethod
    def of(cls, field: str, message: str, *, kind: str) -> Self:
        """The error of one field."""
        return cls(WrongField((field,), message, kind))

    def placed(self, place_of: Callable[[str], str], *, in_sentences: bool = False) -> Self:
        """The same error, which says of each field where it came from; ``in_sentences`` as the operation answers."""
        fields = (field._replace(place=field.place or place_of(field.name)) for field in self.fields)
        return type(self)(*fields, is_told_in_sentences=in_sentences)

    @property
    def message(self) -> str:
        """Name the first wrong field; the problem's ``errors`` lists all of them."""
        return f"{self.fields[0].name}: {self.fields[0].message}"

    @property
    def detail(self) -> str:
        """Each wrong field in a sentence where they are told so, for pages that show the text as it is."""
        return " ".join(field.sentence for field in self.fields) if self.is_told_in_sentences else super().detail


class EventsRejectedError(RequestError):
    """None of these events was stored: {reason}.

    The answer lists each of them with its reason; send them again once it is mended.
    """

    code = "events_rejected"
    status = 422


class PayloadTooLargeError(RequestError):
    """The body is larger than {limit} bytes.

    Send it in smaller parts.
    """

    code = "payload_too_large"
    status = 413


class TooManyValuesError(PayloadTooLargeError):
    """The body holds more than {limit} values.

    Send it in smaller parts.
    """


class HeadTooLargeError(RequestError):
    """The request has more than {limit} {unit} before its body.

    Send fewer or shorter headers, and what is long in the body.
    """

    code = "head_too_large"
    status = 431


class BodyNotExpectedError(RequestError):
    """This call takes no body.

    Send it without one.
    """

    code = "body_not_expected"


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
