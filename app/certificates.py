"""The authorities whose certificates this process trusts, read once for all its HTTP clients.

Reading them takes tens of milliseconds, in which no other thread runs either.
"""

from __future__ import annotations

import ssl
import threading
from functools import cache

_reading = threading.Lock()


def trusted_authorities() -> ssl.SSLContext:
    """What an HTTP client verifies servers by; it reads files at the first call, which is therefore made in a thread.

    Not for mail: HTTP clients name their protocol in it.
    """
    with _reading:
        return _read()


@cache
def _read() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()
