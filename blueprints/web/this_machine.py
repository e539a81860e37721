"""Who sits at this machine: what is for developers is shown to nobody else."""

from __future__ import annotations

from urllib.parse import urlsplit

from sanic import Request

from app.messages.mail import is_loopback


def is_at_this_machine(request: Request) -> bool:
    """Whether the request comes from this machine and asks for it.

    A page of somebody else's, in a browser at this machine, may have its own name resolve to this machine: the Host
    header tells. A proxy at this machine says for whom it asks; where none is expected, whoever says so is one.
    """
    if not request.remote_addr and any(name in request.headers for name in ("x-forwarded-for", "forwarded")):
        return False
    try:
        host = urlsplit(f"//{request.headers.get('host') or ''}").hostname or ""
    except ValueError:
        return False
    addresses = [request.ip, *([request.remote_addr] if request.remote_addr else [])]
    return all(map(is_loopback, (host, *addresses)))
