"""The attacks, all from one address that nobody else has, on a server of this machine and for some seconds only.

.venv/bin/python -m bench.attacks.attackers http://127.0.0.1:PORT SECONDS [ATTACK ...]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from app.wire.open_files import raise_open_files

# Any address of this network is this machine.
ATTACKER = "127.0.0.2"
MIB = 1024 * 1024
SILENT, SILENT_A_SECOND = 2_100, 300
SLOW, SLOW_PAUSE = 100, 1.0
BODIES, BODY, SENT = 60, 15 * MIB, 14 * MIB
JSON_A_SECOND, JSON_BYTES = 2, 4 * MIB
SMALL_A_SECOND, SMALL_BYTES = 20, 60 * 1024
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: p\r\n"
ACTIVATE = b"POST /authz/activate HTTP/1.1\r\nhost: p\r\ncontent-type: application/json\r\n"
UPGRADE = b"connection: upgrade\r\nupgrade: websocket\r\n"

Port = int
Attack = Callable[[Port, Counter[str]], Awaitable[None]]


async def spoken(port: Port, told: Counter[str], name: str, *parts: bytes, pause: float = 0.0) -> None:
    """Send the parts on a connection of one's own, and count how it ended: by the status of the answer, or without."""
    reader = writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ATTACKER, 0))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        line = await reader.readline()
        told[f"{name}: {line.split()[1].decode() if line else 'hung up'}"] += 1
        while await reader.read(65_536):
            pass
    except (OSError, IndexError):
        told[f"{name}: cut off"] += 1
    finally:
        if writer is not None:
            writer.close()


async def again(number: int, a_second: float, attack: Callable[[], Awaitable[None]]) -> None:
    """So many at the same time, each begun anew when it has ended, and no more than so many begun in a second."""
    running: set[asyncio.Future[None]] = set()
    while True:
        if len(running) < number:
            task = asyncio.ensure_future(attack())
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(1 / a_second)


async def silent(port: Port, told: Counter[str]) -> None:
    """Connections that say nothing."""
    await again(SILENT, SILENT_A_SECOND, lambda: spoken(port, told, "silent"))


async def slow(port: Port, told: Counter[str]) -> None:
    """Heads and bodies that come byte by byte, every second one in the name of a WebSocket."""
    numbers = iter(range(10**9))

    async def one() -> None:
        number = next(numbers)
        begun = (UPGRADE if number % 2 else b"") + (b"x: " if number % 4 < 2 else b"content-length: 999\r\n\r\n")
        await spoken(port, told, "slow", ACTIVATE + begun, *[b"y"] * 900, pause=SLOW_PAUSE)

    await again(SLOW, SLOW, one)


async def bodies(port: Port, told: Counter[str]) -> None:
    """Large bodies that nobody takes, and that never end."""
    head = HEALTH + b"content-length: %d\r\n\r\n" % BODY
    piece = b"x" * MIB
    await again(BODIES, BODIES / 5, lambda: spoken(port, told, "bodies", head, *[piece] * (SENT // MIB)))


async def values(port: Port, told: Counter[str]) -> None:
    """JSON of nothing but brackets, large and small, to who is open to all."""

    def posted(size: int) -> bytes:
        body = b'{"x":[' + b"[]," * (size // 3) + b"1]}"
        return ACTIVATE + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    large, small = posted(JSON_BYTES), posted(SMALL_BYTES)
    await asyncio.gather(
        again(JSON_A_SECOND * 5, JSON_A_SECOND, lambda: spoken(port, told, "values", large)),
        again(SMALL_A_SECOND, SMALL_A_SECOND, lambda: spoken(port, told, "values", small)),
    )


ATTACKS: dict[str, Attack] = {"silent": silent, "slow": slow, "bodies": bodies, "values": values}


async def attack(port: Port, seconds: float, names: list[str]) -> Counter[str]:
    """All of these at once, for so many seconds; how each has ended, by kind."""
    told: Counter[str] = Counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(ATTACKS[name](port, told) for name in names))
    return told


def main() -> int:
    """Answer the exit code."""
    url, seconds, *names = sys.argv[1:]
    place = urlsplit(url)
    if place.hostname != "127.0.0.1" or place.port is None:
        print("only a server of this machine is attacked", file=sys.stderr)
        return 2
    raise_open_files()
    print(json.dumps(asyncio.run(attack(place.port, float(seconds), names or list(ATTACKS)))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
