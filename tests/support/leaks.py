"""Looking for secrets: every spelling of each, in every place where one could have been left."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy import text
from support.processes import ServerProcess

# Nothing shorter is looked for.
SHORTEST = 6
NOT_ALONE = b"0123456789abcdef-"
# From this length on a half of a secret is as good as a secret.
WORTH_HALVING = 32
# What may be base64, also of something that holds base64 again.
_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
DEPTH = 3


@dataclass
class Secrets:
    """What was seen in clear, and what each of it is."""

    known: dict[str, str] = field(default_factory=dict)

    def keep(self, what: str, *secrets: str | None) -> str:
        """Remember secrets; answers the first."""
        for secret in secrets:
            assert secret, f"{what} is empty"
            self.known.setdefault(secret, what)
        return secrets[0] or ""

    def keep_token(self, what: str, token: str, *, public: int = 0) -> str:
        """Remember a token of parts, each part by itself as well, but for the first ``public`` ones."""
        self.keep(what, token, *(part for part in token.split(".")[public:] if len(part) > 8))
        return token

    def but(self, kind: str) -> Secrets:
        """All others."""
        return Secrets({secret: what for secret, what in self.known.items() if what != kind})

    def only(self, kind: str) -> Secrets:
        """Those of one kind."""
        return Secrets({secret: what for secret, what in self.known.items() if what == kind})

    def found_in(self, places: Mapping[str, bytes]) -> list[str]:
        """What is where, and in which spelling."""
        needles: defaultdict[bytes, list[tuple[str, bytes]]] = defaultdict(list)
        for secret, what in self.known.items():
            for spelling, needle in spellings(secret):
                needles[needle[:SHORTEST]].append((f"{what}, {spelling}", needle))
        return sorted(
            {
                f"{told}: {place}"
                for place, content in places.items()
                for haystack in decoded(content)
                for at in range(len(haystack) - SHORTEST + 1)
                if haystack[at : at + SHORTEST] in needles
                for told, needle in needles[haystack[at : at + SHORTEST]]
                if _is_at(at, needle, haystack)
            }
        )


def spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    """The ways in which a secret could be written, in lower case; digests too, of which it could be guessed."""
    seen: set[bytes] = set()
    forms = {"plain": secret, "without dashes": re.sub(r"[\s-]", "", secret)}
    forms |= {f"{name} in lower case": form.lower() for name, form in forms.items()} | {
        f"{name} in upper case": form.upper() for name, form in forms.items()
    }
    if len(secret) >= WORTH_HALVING:
        half = len(secret) // 2
        forms |= {"first half": secret[:half], "second half": secret[half:]}
    for name, form in forms.items():
        for way, written in _written(form):
            lowered = written.lower()
            if lowered in seen:
                continue
            seen.add(lowered)
            yield f"{name}, {way}", lowered


def _written(form: str) -> Iterator[tuple[str, bytes]]:
    raw = form.encode()
    yield "as it is", raw
    yield "in an address", quote(form, safe="").encode()
    yield "in a form", quote_plus(form).encode()
    yield "in JSON", json.dumps(form)[1:-1].encode()
    yield "in HTML", escape(form).encode()
    yield "as Python shows it", repr(form)[1:-1].encode()
    yield "hex", raw.hex().encode()
    for shift in range(3):
        # Within something longer: what its neighbours decide as well is left off.
        whole = base64.b64encode(b"\0" * shift + raw)
        clear = whole[(0, 2, 3)[shift] : (shift + len(raw)) // 3 * 4]
        if len(clear) >= SHORTEST:
            yield f"base64 at {shift}", clear
            yield f"base64 for addresses at {shift}", clear.translate(bytes.maketrans(b"+/", b"-_"))
    for kind in ("md5", "sha1", "sha256", "sha512"):
        digest = hashlib.new(kind, raw)
        yield f"{kind}", digest.digest()
        yield f"{kind} in hex", digest.hexdigest().encode()
        yield f"{kind} in base64", base64.b64encode(digest.digest()).rstrip(b"=")


def decoded(content: bytes, depth: int = DEPTH) -> Iterator[bytes]:
    """The content, and what its base64 holds, which is how the durable engine keeps its pickles; in lower case."""
    yield content.lower()
    if depth == 0:
        return
    inner = []
    for encoded in set(_ENCODED.findall(content)):
        plain = encoded.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        if len(plain) % 4 != 1:
            inner.append(base64.b64decode(plain + b"=" * (-len(plain) % 4)))
    if inner:
        yield from decoded(b"\n".join(inner), depth - 1)


def _is_at(at: int, needle: bytes, haystack: bytes) -> bool:
    """Whether it is there; short digits count by themselves only, since random texts have them too."""
    if not haystack.startswith(needle, at):
        return False
    if len(needle) > SHORTEST or not needle.isdigit():
        return True
    around = haystack[max(0, at - 1) : at] + haystack[at + len(needle) : at + len(needle) + 1]
    before = haystack[max(0, at - 1) : at]
    return before != b"." and not any(byte in NOT_ALONE for byte in around)


async def stored(server: ServerProcess, folder: Path) -> dict[str, bytes]:
    """Every column of every table of the database, the engine's among them, and what the server shows of it."""
    found: dict[str, bytes] = {}
    async with server.ctx.read() as conn:
        if server.runtime.db.is_sqlite:
            listed = await conn.rows(text("SELECT 'main', name FROM sqlite_master WHERE type = 'table'"))
        else:
            listed = await conn.rows(
                text(
                    "SELECT table_schema, table_name FROM information_schema.tables"
                    " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
                )
            )
            told = await conn.rows(text("SELECT query FROM pg_stat_activity WHERE datname = current_database()"))
            found["pg_stat_activity.query"] = _joined([row[0] for row in told])
        for schema, table in [tuple(row) for row in listed]:
            everything = await conn.rows(text(f'SELECT * FROM "{schema}"."{table}"'))
            for name in everything[0]._mapping if everything else ():
                found[f"{schema}.{table}.{name}"] = _joined([row._mapping[name] for row in everything])
    if server.runtime.db.is_sqlite:
        found |= _stored_in_file(folder / "durable.db")
    return found


def _stored_in_file(path: Path) -> dict[str, bytes]:
    found = {}
    engine = sqlite3.connect(path)
    try:
        for (table,) in list(engine.execute("SELECT name FROM sqlite_master WHERE type = 'table'")):
            cursor = engine.execute(f'SELECT * FROM "{table}"')
            everything = cursor.fetchall()
            for index, column in enumerate(cursor.description):
                found[f"dbos.{table}.{column[0]}"] = _joined([row[index] for row in everything])
    finally:
        engine.close()
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder: logs, figures, and on SQLite the databases with what was deleted from them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _joined(values: list[Any]) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
