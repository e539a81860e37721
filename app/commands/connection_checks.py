"""The doctor's check of how many connections a worker can keep: each is an open file."""

from __future__ import annotations

from app.commands.check_result import CheckResult
from app.settings import Settings
from app.wire.connections import most_connections
from app.wire.open_files import most_open_files

CHECK = "max_connections"


def open_connections(settings: Settings) -> CheckResult:
    """How many connections each worker keeps, of an address too, and whether as many files may be open."""
    files = most_open_files()
    kept = most_connections(settings.max_connections, files)
    if kept < settings.max_connections:
        detail = (
            f"{settings.max_connections} cannot be reached: a process of this user may have {files} files open, so "
            f"a worker keeps {kept} connections; raise the hard limit (ulimit -Hn, LimitNOFILE) or lower "
            "PORTAL_MAX_CONNECTIONS"
        )
        return CheckResult(CHECK, "warning", detail)
    of_address = f"{settings.max_connections_per_address} of them from one address"
    if settings.proxies_count or not settings.max_connections_per_address:
        of_address = "any number of them from one address"
    return CheckResult(CHECK, "ok", f"a worker keeps {kept} connections open, {of_address}, of {files} files")
