"""Load from wrk: one run against one address, and what it measured."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Measured:
    """One run; ``errors`` are the answers that were not 2xx and the sockets that failed."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def require_wrk() -> None:
    """End the program with one line when the load generator is not there."""
    if shutil.which("wrk") is None:
        print("wrk is missing: apt install wrk", file=sys.stderr)
        raise SystemExit(2)


def wrk(url: str, *, connections: int = CONNECTIONS, seconds: float, script: Path | None = None) -> Measured:
    """Keep this many connections busy for so many seconds, whole ones and at least one; the script is in Lua."""
    require_wrk()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "--latency"]
    if script:
        command += ["-s", str(script)]
    run = subprocess.run([*command, url], check=False, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"wrk failed: {run.stderr or run.stdout}")
    return _read(run.stdout)


def _read(told: str) -> Measured:
    errors = sum(int(found) for found in re.findall(r"Non-2xx or 3xx responses: (\d+)", told))
    for kinds in re.findall(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told):
        errors += sum(int(kind) for kind in kinds)
    return Measured(
        requests=int(_found(told, r"(\d+) requests in ")[1]),
        requests_per_second=float(_found(told, r"Requests/sec:\s+([\d.]+)")[1]),
        p50_ms=_latency(told, "50%"),
        p99_ms=_latency(told, "99%"),
        errors=errors,
    )


def _latency(told: str, percentile: str) -> float:
    found = _found(told, rf"^\s+{percentile}\s+([\d.]+)(us|ms|s|m)\s*$")
    return round(float(found[1]) * MILLISECONDS[found[2]], 3)


def _found(told: str, pattern: str) -> re.Match[str]:
    found = re.search(pattern, told, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk did not tell {pattern!r}: {told}")
    return found
