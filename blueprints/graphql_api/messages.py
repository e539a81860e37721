"""The messages of graphql-transport-ws: what a client sends, read within its bounds."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from app.contract.api_document import LARGE_BODY
from app.errors import TokenNotSentError, TooManyValuesError
from blueprints.web.bodies import check_values

MAX_ID_CHARACTERS: Final = 128
# Those that may come without a payload; for each whether it has an id.
KINDS: Final = {"connection_init": False, "ping": False, "pong": False, "subscribe": True, "complete": True}


class Message(NamedTuple):
    """One message; ``id`` is empty where its kind has none."""

    type: str
    id: str
    payload: dict[str, Any] | None


class WrongMessageError(Exception):
    """What a client has sent is no message of the protocol; the text says why, and is short enough to be sent."""


def message_in(data: str | bytes) -> Message:
    """The message that was received; raises WrongMessageError."""
    if isinstance(data, bytes):
        raise WrongMessageError("Only text is understood")
    try:
        check_values(data.encode(errors="surrogatepass"), LARGE_BODY)
        given = orjson.loads(data)
    except TooManyValuesError:
        raise WrongMessageError("Too many values") from None
    except orjson.JSONDecodeError:
        raise WrongMessageError("Not JSON") from None
    if not isinstance(given, dict):
        raise WrongMessageError("Not an object")
    kind, message_id, payload = given.get("type"), given.get("id"), given.get("payload")
    if not isinstance(kind, str) or kind not in KINDS:
        raise WrongMessageError("Invalid message type")
    if KINDS[kind] and (not isinstance(message_id, str) or not 0 < len(message_id) <= MAX_ID_CHARACTERS):
        raise WrongMessageError("Invalid id")
    if kind == "subscribe" and payload is None:
        raise WrongMessageError("Invalid payload")
    if payload is not None and kind != "complete" and not isinstance(payload, dict):
        raise WrongMessageError("Invalid payload")
    return Message(kind, str(message_id) if KINDS[kind] else "", payload if isinstance(payload, dict) else None)


def token_of(payload: dict[str, Any] | None) -> str | None:
    """The token in the payload of the first message, by the names of the headers in any case.

    Raises WrongMessageError, TokenNotSentError for one of another scheme than bearer.
    """
    given = {name.lower(): value for name, value in (payload or {}).items()}
    for name in ("x-session-token", "authorization"):
        value = given.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise WrongMessageError(f"Invalid payload: {name}")
        if name == "x-session-token":
            return value
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenNotSentError
        return token.strip()
    return None
