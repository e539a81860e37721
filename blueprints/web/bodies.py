"""Reading a request: its body, its query, its token, its id."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pydantic
from pydantic import BaseModel
from sanic import Request

from app.contract.fields import sent_as_texts, wrong_fields
from app.errors import (
    BodyNotExpectedError,
    MalformedBodyError,
    TokenNotSentError,
    TooManyValuesError,
    ValidationError,
)
from app.errors.requests import WrongField

Model = TypeVar("Model", bound=BaseModel)

# A value takes at least some hundred bytes of memory, and its time, where its text may have two characters.
BYTES_A_VALUE = 64
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
# How JSON writes half of a character, if it is half of one.
_HALF_OF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")

# Unique without asking the system for randomness at every request. Workers are forked from a process that has imported
# this, so each takes a name of its own.
_process = secrets.token_hex(8)
_NUMBERS = itertools.count(1)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_body_left(request: Request) -> bool:
    """Whether the head has announced a body that nobody has read."""
    stream: Any = request.stream
    return bool(stream.request_body)


async def receive_body(request: Request, limit: int) -> None:
    """Read what the head has announced into ``request.body``: so many bytes at most, none where that is 0.

    Raises BodyNotExpectedError, PayloadTooLargeError, RequestTimeoutError, BodiesFullError, RequestError.
    """
    if not limit:
        raise BodyNotExpectedError
    stream: Any = request.stream
    request.body = await stream.whole_body(limit)


def read_body(request: Request, model: type[Model], limit: int) -> Model:
    """The JSON body as a model, of an operation whose body may have so many bytes.

    Raises MalformedBodyError, TooManyValuesError, or ValidationError listing every wrong field.
    """
    body = request.body
    check_values(body, limit)
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as failure:
        told = _told(failure, "body")
        if isinstance(told, MalformedBodyError) and _HALF_OF_A_PAIR.search(body) and (wrong := _no_texts(body)):
            raise ValidationError(*wrong) from None
        raise told from None


def check_values(text: bytes, limit: int) -> None:
    """Raise TooManyValuesError for JSON of more values than a text of ``limit`` bytes may hold.

    Two bytes make a list, which takes a hundred times as much memory and as long to parse as a long text.
    """
    most = limit // BYTES_A_VALUE
    # Each value but a container's first follows a comma. Commas and brackets within texts count for nothing.
    if len(text) <= most or _openings(text) <= most:
        return
    if text.count(b'"') - text.count(b'\\"') > 4 * most or _openings(_TEXT.sub(b"", text)) > most:
        raise TooManyValuesError(limit=most)


def _openings(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def read_query(request: Request, model: type[Model]) -> Model:
    """The query as a model, its numbers read from text; raises ValidationError."""
    try:
        sent = sent_as_texts(model, dict(request.get_query_args(keep_blank_values=True)))
        return model.model_validate(sent, strict=False)
    except pydantic.ValidationError as failure:
        raise _told(failure, "query") from None


def read_headers(request: Request, names: Iterable[str]) -> dict[str, str]:
    """The headers of these names; raises ValidationError for one that was not sent."""
    headers = {name: request.headers.get(name) for name in names}
    if missing := [name for name, value in headers.items() if not value]:
        raise ValidationError(
            *(WrongField((name,), "must be sent as a header", "missing", "header") for name in missing)
        )
    return {name: value for name, value in headers.items() if value is not None}


def bearer_token(request: Request) -> str:
    """The token of the Authorization header; raises TokenNotSentError."""
    scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not (token := token.strip()):
        raise TokenNotSentError
    return token


def request_id_of(request: Request) -> str:
    """The id under which this request is logged and answered: the caller's, if it is sound, or a new one."""
    given: str | None = request.headers.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return f"{_process}-{next(_NUMBERS):x}"


def _name_process() -> None:
    global _process  # noqa: PLW0603 - the one name of this process
    _process = secrets.token_hex(8)


os.register_at_fork(after_in_child=_name_process)


def _no_texts(body: bytes) -> list[WrongField]:
    """The members of a body that would be texts but for half of a character, which JSON can write and UTF-8 cannot."""
    try:
        return [
            WrongField(path, "must be text, and half of a surrogate pair is none", "string_unicode", "body")
            for path, value in _texts(json.loads(body))
            if not _is_whole(value)
        ]
    except (ValueError, RecursionError):
        return []


def _texts(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            # What has half a character in its name is named by what it is in.
            yield from _texts(member, (*path, key) if isinstance(key, int) or _is_whole(key) else path)
            if isinstance(key, str) and not _is_whole(key):
                yield path, key


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _told(failure: pydantic.ValidationError, place: str) -> MalformedBodyError | ValidationError:
    error = wrong_fields(failure, place)
    first = error.fields[0]
    if first.kind == "json_invalid":
        return MalformedBodyError(reason=first.message.removeprefix("must be JSON: "))
    return error
