"""Reading what is asked: from a JSON body, from a query string, or from a message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from sanic import Request

from app.contract.api_document import LARGE_BODY
from app.errors import MalformedBodyError, MediaTypeError, ValidationError
from app.execution.running import Asked
from blueprints.web.bodies import check_values

# Deeper variables are no schema's, and what follows them would run out of stack.
MAX_DEPTH: Final = 100


def asked_in_body(request: Request) -> Asked:
    """What a POST asks; raises MediaTypeError, TooManyValuesError, MalformedBodyError, ValidationError."""
    media_type = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MediaTypeError
    check_values(request.body, LARGE_BODY)
    return asked_by(_parsed(request.body))


def asked_in_query(request: Request) -> Asked:
    """What a GET asks; raises MalformedBodyError, ValidationError."""
    given: dict[str, Any] = dict(request.get_query_args(keep_blank_values=True))
    for name in ("variables", "extensions"):
        if given.get(name):
            given[name] = _parsed(given[name].encode(errors="surrogatepass"))
    return asked_by({name: value for name, value in given.items() if value != ""})


def asked_by(given: object) -> Asked:
    """What an object asks; raises ValidationError."""
    if not isinstance(given, dict):
        raise ValidationError.of("body", "must be one object", kind="dict_type")
    query = _member(given, "query", str)
    persisted = _member(_member(given, "extensions", dict) or {}, "persistedQuery", dict)
    sha256 = None if persisted is None else _member(persisted, "sha256Hash", str)
    if query is None and sha256 is None:
        raise ValidationError.of("query", "must be filled in", kind="missing")
    variables = _member(given, "variables", dict) or {}
    if any("\x00" in text for text in _texts(variables)):
        raise ValidationError.of("variables", "may not hold the character NUL", kind="string_pattern_mismatch")
    return Asked(query, variables, _member(given, "operationName", str), sha256)


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as failure:
        raise MalformedBodyError(reason=str(failure)) from None


def _member(given: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = given.get(name)
    if value is not None and not isinstance(value, kind):
        words = "a text" if kind is str else "an object"
        raise ValidationError.of(name, f"must be {words}", kind=f"{kind.__name__}_type")
    return value


def _texts(value: Any) -> Iterator[str]:
    """All texts of a JSON value, the names of its members included; raises ValidationError for one nested too deep."""
    waiting = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for one in waiting:
            if isinstance(one, str):
                yield one
            elif isinstance(one, dict):
                deeper += [*one, *one.values()]
            elif isinstance(one, list):
                deeper += one
        if not deeper:
            return
        waiting = deeper
    raise ValidationError.of("variables", f"may not be nested deeper than {MAX_DEPTH}", kind="too_deep")
