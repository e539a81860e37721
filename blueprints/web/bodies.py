"""Reading a request: its body, its query, its token, its id."""

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pydantic
from pydantic import BaseModel
from sanic import Request

from app.contract.fields import sent_as_texts, wrong_fields
from app.errors import MalformedBodyError, TokenNotSentError, ValidationError
from app.errors.requests import WrongField

Model = TypeVar("Model", bound=BaseModel)

# Unique without asking the system for randomness at every request.
_PROCESS = secrets.token_hex(6)
_NUMBERS = itertools.count(1)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def read_body(request: Request, model: type[Model]) -> Model:
    """The JSON body as a model; raises MalformedBodyError, or ValidationError listing every wrong field."""
    try:
        return model.model_validate_json(request.body)
    except pydantic.ValidationError as failure:
        told = _told(failure, "body")
        if isinstance(told, MalformedBodyError) and (wrong := _no_texts(request.body)):
            raise ValidationError(*wrong) from None
        raise told from None


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
    return f"{_PROCESS}-{next(_NUMBERS):x}"


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
