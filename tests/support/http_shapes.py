"""HTTP as it is sent: requests as bytes, sound or refused with what is answered, and headers that name a host."""

from __future__ import annotations

# What a request that was read wrongly would leave behind: it would be answered too.
HIDDEN = b"GET /healthz HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nhost: p\r\n"
POST = b"POST /authz/activate HTTP/1.1\r\nhost: p\r\ncontent-type: application/json\r\n"
BODY = b'{"a":1}'
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def posted(*headers: bytes, body: bytes = BODY) -> bytes:
    return POST + b"".join(b"%b\r\n" % header for header in headers) + b"\r\n" + body


# Two requests on one connection, by the statuses of their answers.
SOUND: dict[str, tuple[bytes, list[int]]] = {
    "two at once": (GET + b"\r\n", [200, 200]),
    "a body, then another request": (posted(b"content-length: 7"), [422, 200]),
    "a length with blanks around it": (posted(b"content-length: \t7 \t"), [422, 200]),
    "a length of nothing": (GET + b"content-length: 0\r\n\r\n", [200, 200]),
    "a host with its port": (GET.replace(b"host: p", b"host: [::1]:8000") + b"\r\n", [200, 200]),
    "an empty host": (GET.replace(b"host: p", b"host:") + b"\r\n", [200, 200]),
    "no host of an older version": (b"GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", [200, 200]),
    "capital letters": (posted(b"Content-LENGTH: 7"), [422, 200]),
    "chunks": (CHUNKED + b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n', [422, 200]),
    "a chunk's extension": (CHUNKED + b"7;name=value\r\n" + BODY + b"\r\n0\r\n\r\n", [422, 200]),
    "no chunk": (CHUNKED + b"0\r\n\r\n", [400, 200]),
    "Chunked": (posted(b"Transfer-Encoding: Chunked", body=b"7\r\n" + BODY + b"\r\n0\r\n\r\n"), [422, 200]),
    "waits to be asked": (posted(b"content-length: 7", b"expect: 100-continue"), [100, 422, 200]),
    "a small body that nobody takes": (GET + b"content-length: 7\r\n\r\n" + BODY, [400, 200]),
    "small letters": (b"get /healthz HTTP/1.1\r\nhost: p\r\n\r\n", [405, 200]),
    "a whole address": (b"GET http://p/healthz HTTP/1.1\r\nhost: p\r\n\r\n", [200, 200]),
    "of the server as a whole": (b"OPTIONS * HTTP/1.1\r\nhost: p\r\n\r\n", [204, 200]),
}
# One answer, and the connection is closed.
REFUSED: dict[str, tuple[bytes, int]] = {
    "two lengths": (posted(b"content-length: 7", b"content-length: 7"), 400),
    "two lengths that differ": (posted(b"content-length: 7", b"content-length: 0"), 400),
    "a list of lengths": (posted(b"content-length: 7, 7"), 400),
    "a length and chunks": (posted(b"content-length: 7", b"transfer-encoding: chunked"), 400),
    "chunks and a length": (posted(b"transfer-encoding: chunked", b"content-length: 7"), 400),
    "chunks twice": (posted(b"transfer-encoding: chunked", b"transfer-encoding: chunked"), 400),
    "compressed chunks": (posted(b"transfer-encoding: gzip, chunked"), 400),
    "an encoding that is none": (posted(b"transfer-encoding: \x0bchunked"), 400),
    "chunks of an older version": (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", 400),
    **{
        f"a length of {length!r}": (posted(b"content-length: " + length), 400)
        for length in (
            b"",
            b"+7",
            b"-7",
            b"0x7",
            b"7 7",
            b"7_0",
            b"7.0",
            "\N{ARABIC-INDIC DIGIT SEVEN}".encode(),
            b"9" * 19,
        )
    },
    "a blank before the colon": (posted(b"content-length : 7"), 400),
    "a tabulator before the colon": (posted(b"content-length\t: 7"), 400),
    "a header that goes on": (posted(b"x-more: 1", b" content-length: 7"), 400),
    "a header that begins with a blank": (POST.replace(b"host", b" host") + b"\r\n", 400),
    "a header without a name": (posted(b": 7"), 400),
    "a header without a colon": (posted(b"content-length"), 400),
    "a name of no letters": (posted(b"content\xfflength: 7"), 400),
    "a name in brackets": (posted(b"(content-length): 7"), 400),
    "NUL in a header": (posted(b"x-more: a\0b"), 400),
    "a bare line feed in a header": (posted(b"x-more: 1\ncontent-length: 7"), 400),
    "a bare carriage return in a header": (posted(b"x-more: 1\rcontent-length: 7"), 400),
    "bare line feeds": (GET.replace(b"\r\n", b"\n") + b"\n", 400),
    "DEL in a header": (posted(b"x-more: a\x7fb"), 400),
    "two hosts": (GET + b"host: q\r\n\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    **{
        f"a host of {host!r}": (b"GET /healthz HTTP/1.1\r\nhost: " + host + b"\r\n\r\n", 400)
        for host in (b"p/", b"p q", b"a@p", b"p#", b"p:x", b"p:1:2", b"[::1", b"http://p", b"p\xff")
    },
    "trailers": (CHUNKED + b"7\r\n" + BODY + b"\r\n0\r\nx-more: 1\r\n\r\n", 400),
    "a chunk without its line end": (CHUNKED + b"7\r\n" + BODY + b"0\r\n\r\n", 400),
    "a chunk that is longer than it says": (CHUNKED + b"3\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "a bare line feed in chunks": (CHUNKED + b"7\n" + BODY + b"\r\n0\r\n\r\n", 400),
    **{
        f"a chunk of {size!r}": (CHUNKED + size + b"\r\n" + BODY + b"\r\n0\r\n\r\n", 400)
        for size in (b"", b"0x7", b"+7", b"-7", b" 7", b"7 ", b"7_0", b"g", b"7;\0", b"0" * 20 + b"7")
    },
    "an endless line of a chunk": (CHUNKED + b"7;" + b"x" * 5000, 400),
    "a great many chunks": (CHUNKED + b"1\r\n \r\n" * 5000 + b"0\r\n\r\n", 400),
    "a long head": (GET + b"x-more: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    "a long head without an end": (GET + b"x-more: " + b"x" * 20_000, 431),
    "many headers": (GET + b"x-more: 1\r\n" * 200 + b"\r\n", 431),
    "a method of no letters": (b"G\xffT /healthz HTTP/1.1\r\nhost: p\r\n\r\n", 400),
    "no method": (b" /healthz HTTP/1.1\r\nhost: p\r\n\r\n", 400),
    "blanks in between": (b"GET  /healthz HTTP/1.1\r\nhost: p\r\n\r\n", 400),
    "no version": (b"GET /healthz\r\nhost: p\r\n\r\n", 400),
    "an unknown version": (b"GET /healthz HTTP/1.2\r\nhost: p\r\n\r\n", 400),
    "a later version": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    **{
        f"a target of {target!r}": (b"GET " + target + b" HTTP/1.1\r\nhost: p\r\n\r\n", 400)
        for target in (
            *(b"", b"*", b"healthz", b"/\0", b"/a\tb", b"/a b", b"/\xff", b"/\x7f", b"/\rb", b"/a#b", b"/?a#b"),
            *(b"http://", b"http://x:99999/", b"http://x:99999/?a=b", b"http:///", b"https://[::/", b"x:443"),
        )
    },
    "something else to be asked": (posted(b"content-length: 7", b"expect: 200-ok"), 400),
    "a large body that nobody takes": (GET + b"content-length: 99999999\r\n\r\n", 400),
    "a body that is too large": (posted(b"content-length: 65537", b"expect: 100-continue", body=b""), 413),
    "chunks that are too many": (CHUNKED + b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n", 413),
}


def names_of_a_host(host: str) -> dict[str, str]:
    """Every header by which a request may name the host that it was sent to."""
    return {
        "host": host,
        "x-forwarded-host": host,
        "x-forwarded-proto": "https",
        "x-forwarded-port": "666",
        "x-original-url": f"https://{host}/",
        "forwarded": f"host={host};proto=https",
    }
