"""An answer whose few headers are known to be sound."""

from __future__ import annotations

from collections.abc import Iterator

from sanic.response import HTTPResponse


class Answer(HTTPResponse):
    """A body with its media type, the request's id, and headers that we wrote ourselves.

    Sanic encodes and checks each header of each response anew, which is a twelfth of what a small answer costs.
    ``more`` are those of this answer, ``fixed`` the lines that every answer carries, each after a line break.
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
        self.fixed = b""

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """The headers as they are sent; ``connection`` is what the framework has decided, unless we close.

        As one header whose value holds the lines of the others: what the framework is given it formats piece by piece.
        """
        more = self.more or {}
        lines = b"%b\r\ncontent-length: %d\r\nconnection: %b\r\nx-request-id: %b%b" % (
            (self.content_type or "").encode(),
            len(self.body or b""),
            (more.get("connection") or self.headers["connection"]).encode(),
            self._request_id.encode(),
            self.fixed,
        )
        for name, value in more.items():
            if name != "connection":
                lines += b"\r\n%b: %b" % (name.encode(), value.encode())
        yield b"content-type", lines
