"""The network or the site under which a rate limit counts an address."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

# An IPv6 customer usually gets a whole /64 network, and may use any address in it.
NETWORK_BITS = 64
# Whoever has a line of their own may get as much as a /48, of 65,536 networks.
SITE_BITS = 48


def network_of(address: str | None) -> str:
    """The IPv4 address itself, or the /64 network of an IPv6 address; other text is returned unchanged.

    Proxies may write an IPv6 address in brackets, append a port, and write an IPv4 address as an IPv4-mapped IPv6 one.
    """
    return _network(address, NETWORK_BITS)


def site_of(address: str | None) -> str:
    """As ``network_of``, with the /48 of an IPv6 address: for what one person must not do from many networks."""
    return _network(address, SITE_BITS)


def _network(address: str | None, bits: int) -> str:
    text = address or ""
    if (parsed := _parse(text)) is None:
        return text
    if parsed.version == 6:
        return str(parsed.ipv4_mapped or IPv6Network((int(parsed), bits), strict=False))
    return str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(text)
    with suppress(ValueError):
        return ip_address(urlsplit(f"//{text}").hostname or "")
    return None
