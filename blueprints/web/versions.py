"""Versions of what is changed: sent as ETag, and expected by If-Match."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sanic import Request

_ETAG = re.compile(r'"(0|[1-9][0-9]{0,17})"')


class Versioned(NamedTuple):
    """An answer and the version of what it shows."""

    answer: Any
    version: int

    @property
    def headers(self) -> dict[str, str]:
        """The header that tells the version."""
        return {"etag": f'"{self.version}"'}


def expected_versions(request: Request) -> frozenset[int] | None:
    """The versions that If-Match accepts; None without the header or with ``*``, which accept any.

    What is no ETag of ours, a weak one among it, is no version.
    """
    header: str | None = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    tags = (_ETAG.fullmatch(tag.strip()) for tag in header.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag is not None)
