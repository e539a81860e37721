"""Heads of requests, read strictly: what two programs read differently lets one request hide in another."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from app.errors import HeadTooLargeError, RequestError

MAX_HEADERS: Final = 100
CHUNKED: Final = -1
# 18 digits: what is longer would be refused by its size anyway.
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII).fullmatch
# Visible ASCII characters but "#": what follows that is never sent, and not everybody cuts it off.
_TARGET = r"/[!\x22$-~]*|\*|https?://[!\x22$-~]+"
_REQUEST_LINE = re.compile(rf"([!#$%&'*+.^_`|~0-9A-Za-z-]{{1,32}}) ({_TARGET}) HTTP/1\.([01])").fullmatch
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
# A name or an address with its port; empty where the client has no name of the server.
_HOST = re.compile(r"(?:[!$%&'()*+,;=._~0-9A-Za-z-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?").fullmatch
# What may stand in a line: no control character but the tabulator.
_SOUND = bytes({*b"\t", *range(0x20, 0x7F), *range(0x80, 0x100)})
# As most programs write them; to look them up is quicker than to look at each of their letters.
_USUAL: Final = {
    spelt: name
    for name in (
        *("accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection"),
        *("content-length", "content-type", "cookie", "expect", "forwarded", "host", "idempotency-key", "if-match"),
        *("if-none-match", "last-event-id", "origin", "referer", "transfer-encoding", "upgrade", "user-agent"),
        *("x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-session-token"),
    )
    for spelt in (name, name.title())
}
# Of these a second one could be believed by somebody else.
_ONCE: Final = frozenset({"content-length", "transfer-encoding", "host", "expect", "upgrade"})
_COUNTING: Final = _ONCE | {"connection"}


class Head(NamedTuple):
    """The head of a request; ``length`` is that of the body in bytes, CHUNKED where the head does not say it."""

    method: str
    target: str
    minor_version: str
    headers: list[tuple[str, str]]
    length: int
    expects_continue: bool
    asks_websocket: bool
    keeps_alive: bool


def read_head(head: bytes) -> Head:
    """The head without the empty line that ends it; raises RequestError, HeadTooLargeError.

    No error tells what was sent: an address may hold a token.
    """
    text = head.decode(errors="surrogateescape")
    first, *lines = text.split("\r\n")
    if head.translate(None, _SOUND) != b"\r\n" * len(lines):
        raise RequestError
    if len(lines) > MAX_HEADERS:
        raise HeadTooLargeError(limit=MAX_HEADERS, unit="headers")
    if (found := _REQUEST_LINE(first)) is None or (found[2] == "*" and found[1] != "OPTIONS"):
        raise RequestError
    method, target, minor = found.groups()
    headers, said = _headers(lines)
    if (minor == "1" and "host" not in said) or _HOST(said.get("host", "")) is None:
        raise RequestError
    length = _body_length(said, minor)
    return Head(
        method,
        target,
        minor,
        headers,
        length,
        "expect" in said and minor == "1" and length != 0,
        said.get("upgrade", "").lower() == "websocket",
        _keeps_alive(said.get("connection", ""), minor),
    )


def _headers(lines: list[str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """All headers, and those of them that count here."""
    headers: list[tuple[str, str]] = []
    said: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        # A blank before the colon makes a name that is none; so does one that begins the line, to go on with the last.
        if not colon or ((lower := _USUAL.get(name)) is None and _NAME(name) is None):
            raise RequestError
        lower, value = lower or name.lower(), value.strip(" \t")
        if lower in _COUNTING:
            if lower in said:
                if lower in _ONCE:
                    raise RequestError
                value = f"{said[lower]}, {value}"
            said[lower] = value
        headers.append((lower, value))
    return headers, said


def _body_length(said: dict[str, str], minor: str) -> int:
    length, encoding = said.get("content-length"), said.get("transfer-encoding")
    if encoding is not None:
        if length is not None or minor == "0" or encoding.lower() != "chunked":
            raise RequestError
        return CHUNKED
    if length is None:
        return 0
    if _LENGTH(length) is None:
        raise RequestError
    return int(length)


def _keeps_alive(connection: str, minor: str) -> bool:
    if not connection:
        return minor == "1"
    tokens = {token.strip() for token in connection.lower().split(",")}
    return "close" not in tokens if minor == "1" else "keep-alive" in tokens
