"""An answer whose few headers are known to be sound."""

from __future__ import annotations

from collections.abc import Iterator

from sanic.response import HTTPResponse


class Answer(HTTPResponse):
    """A body with its media type, the request's id, and headers that we wrote ourselves.

    Sanic encodes and checks each header of each response anew, which is a twelfth of what a small answer costs.
    ``more`` are those of this answer, ``fixed`` those that every answer carries, which are encoded already.
    """

    __slots__ = ("_request_id", "fixed", "more")

    def __init__(
        self,
        body: bytes,
        request_id: str,
        *,
        status: int = 200,
        media_type: str = "application/json",
        more: dict[str, str] | None = None,
    ) -> None:
        super().__init__(body, status, content_type=media_type)
        self._request_id = request_id
        self.more = more
        self.fixed: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """The headers as they are sent; ``connection`` is what the framework has decided, unless we close."""
        yield b"content-type", (self.content_type or "").encode()
        yield b"content-length", b"%d" % len(self.body or b"")
        if not self.more or "connection" not in self.more:
            yield b"connection", self.headers["connection"].encode()
        yield b"x-request-id", self._request_id.encode()
        yield from self.fixed
        for name, value in (self.more or {}).items():
            yield name.encode(), value.encode()
