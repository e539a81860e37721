"""What a request looks like: ids that repeat, shapes that two readers take for two things, secrets in addresses."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from support.http_shapes import HIDDEN, REFUSED, SOUND
from support.raw import spoken, statuses

from bench.attacks.target import Finding, Ground, Target, target, together

STARTS, ASKED = 3, 400
SECRET = "SECRET-rt_0123456789abcdefghijkl"
TARGETS = (
    *(f"/authz/refresh?refresh_token={SECRET}", f"/auth/link/{SECRET}", f"/nothing/{SECRET}", f"/%00{SECRET}"),
    *(f"http://x:99999/{SECRET}", f"/{SECRET}\0", f"/a\t{SECRET}", f"/licenses/branding/acme?t={SECRET}"),
)
METHODS = ("GET", "POST", "G\udcffT")


async def request_ids(ground: Ground) -> list[Finding]:
    """Requests to two workers, one of them killed on the way, of a server that is started three times."""
    ids: list[str] = []
    async with target(ground, workers=2) as server:

        async def ask(_: int) -> str:
            return (await server.http.get("/healthz")).headers["x-request-id"]

        for start in range(STARTS):
            if start:
                await server.stop()
                await server.start(2)
            ids += await together(range(ASKED), ask)
            os.kill(server.worker_pids()[-1], signal.SIGKILL)
            ids += await together(range(ASKED), ask)
    return [Finding("ids of requests that repeat", len(ids), len(ids) - len(set(ids)), 0, f"such as {ids[0]}")]


async def answered(server: Target, request: bytes) -> list[int]:
    """The statuses of all answers on one connection; none where nothing is said, or nobody hangs up."""
    try:
        return statuses(await spoken(server.base_url, request))
    except (OSError, TimeoutError):
        return []


async def shapes(ground: Ground) -> list[Finding]:
    """Each shape with another request right behind it, which must be answered only where the first is sound."""
    async with target(ground, PORTAL_REQUEST_TIMEOUT_SECONDS="4") as server:

        async def ask(request: bytes) -> list[int]:
            return await answered(server, request + HIDDEN)

        refused = await together([request for request, _ in REFUSED.values()], ask)
        sound = await together([request for request, _ in SOUND.values()], ask)
    as_two = [name for name, told in zip(REFUSED, refused, strict=True) if len(told) > 1]
    kept = sum(told == expected for told, (_, expected) in zip(sound, SOUND.values(), strict=True))
    let_in = [
        name
        for name, told in zip(REFUSED, refused, strict=True)
        if len(told) == 1 and told[0] < 400 and name not in as_two
    ]
    told = "; ".join(as_two[:4]) + (" ..." if len(as_two) > 4 else "")
    return [
        Finding("ambiguous requests read as two", len(REFUSED), len(as_two), silent_or_faulty(refused), told),
        Finding("malformed requests answered 2xx or 3xx", len(REFUSED), len(let_in), 0, "; ".join(let_in[:4])),
        Finding("sound requests answered in another way", len(SOUND), len(SOUND) - kept, silent_or_faulty(sound)),
    ]


def silent_or_faulty(answers: Sequence[Sequence[int]]) -> int:
    """How many have no answer, or one that says it is our fault."""
    return sum(not told or any(status >= 500 for status in told) for told in answers)


async def secrets_in_logs(ground: Ground) -> list[Finding]:
    """Addresses with a token in them, malformed and sound ones, and whether the log shows it at its most talkative."""
    loud = {"PORTAL_LOG_LEVEL": "debug", "PORTAL_ACCESS_LOG": "true"}
    async with target(ground, PORTAL_REQUEST_TIMEOUT_SECONDS="4", **loud) as server:

        async def ask(line: str) -> list[int]:
            request = f"{line} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n"
            return await answered(server, request.encode(errors="surrogateescape"))

        lines = [f"{method} {address}" for method in METHODS for address in TARGETS]
        answers = await together(lines, ask)
        shown = server.log.count("SECRET")
    return [Finding("tokens of addresses in the log", len(lines), shown, silent_or_faulty(answers))]
