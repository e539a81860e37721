"""Whom the address of a request is counted for."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

# The holder of an IPv6 network has all of it.
NETWORK_BITS = 64


def place_of(address: str | None) -> str:
    """Whom an address is counted for: itself, or the network of an IPv6 one, whose holder has all of it.

    However it is written: proxies tell of IPv6 in brackets, of a port behind it, and of IPv4 as a part of IPv6.
    """
    text = address or ""
    if (found := _read(text)) is None:
        return text
    if found.version == 6:
        return str(found.ipv4_mapped or IPv6Network((int(found), NETWORK_BITS), strict=False))
    return str(found)


def _read(text: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(text)
    with suppress(ValueError):
        return ip_address(urlsplit(f"//{text}").hostname or "")
    return None
