"""The address of a database: checking it, and reading it with libpq's parameters, as asyncpg and libpq want them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# libpq's parameters that asyncpg reads from an address under the same name.
_SAME = frozenset(
    {
        "passfile",
        "target_session_attrs",
        "krbsrvname",
        "gsslib",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslpassword",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
    }
)
# Those that say where the database is and who asks: they belong to the address itself.
_PLACE = frozenset({"host", "port", "user", "password", "dbname"})
# Those that the portal hands on in another way.
_OURS = frozenset({"application_name", "connect_timeout", "options"})
# Those that change nothing with these values; with another one asyncpg could not do what they ask for.
_WITHOUT_EFFECT = {
    "channel_binding": ("prefer", "disable"),
    "gssencmode": ("prefer", "disable"),
    "client_encoding": ("utf8", "utf-8", "auto"),
}
_POOLER = "belongs to no address; behind a pooler for transactions set PORTAL_DATABASE_POOLER"
_ADVICE = dict.fromkeys(
    ("pgbouncer", "statement_cache_size", "prepared_statement_cache_size", "prepared_statement_name_func"), _POOLER
)
# As SQLAlchemy divides it: a password may contain anything but @.
_PARTS = re.compile(r"(?:[^:/]*(?::[^@]*)?@)?[^/?]*(?:/(?P<database>[^?]*))?(?:\?(?P<options>.*))?", re.DOTALL)


class Address(NamedTuple):
    """Where a database is, and what an address asks of the connection beside that, under libpq's names."""

    url: URL
    options: dict[str, str]

    @property
    def driver_address(self) -> str:
        """What asyncpg itself shall read of the options, as an address without a place; empty without any."""
        own = {name: value for name, value in self.options.items() if name in _SAME}
        return f"postgresql:///?{urlencode(own)}" if own else ""

    @property
    def server_settings(self) -> dict[str, str]:
        """What a session begins with."""
        return {name: self.options[name] for name in ("application_name", "options") if name in self.options}

    def timeout_seconds(self, default: float) -> float:
        """How long connecting may take; as for libpq, 0 is no limit of the address's own."""
        return float(self.options.get("connect_timeout", 0)) or default


def check(text: str) -> None:
    """Raise ValueError for an address of no database; the reason never contains it, because it may hold a password."""
    driver, _, rest = text.partition("://")
    if driver not in DRIVERS:
        raise ValueError("must start with sqlite+aiosqlite:/// or postgresql+asyncpg://")
    parts = _PARTS.fullmatch(rest)
    options = _options(parts["options"] or "" if parts else "")
    if driver == DRIVERS[0] and options:
        raise ValueError(f"has the option {_named(next(iter(options)))}, and a SQLite file takes none")
    database = (parts["database"] if parts else "") or options.get("dbname", "")
    if not database.strip("/") or database == ":memory:":
        example = f"{driver}:///folder/portal.db" if driver == DRIVERS[0] else f"{driver}://user:password@host/portal"
        raise ValueError(f"names no database; write {example}")
    for name, value in options.items():
        _check_option(name, value)


def read(text: str) -> Address:
    """The parts of an address that ``check`` takes; raises ValueError if it cannot be read."""
    # Imported here, because ``portal serve`` reads the settings long before it needs SQLAlchemy.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except ArgumentError as failure:
        raise ValueError(str(failure)) from None
    options = _options(urlencode(url.query, doseq=True))
    place = {name: options.pop(name) for name in _PLACE if name in options}
    url = url.set(
        username=place.get("user", url.username),
        password=place.get("password", url.password),
        database=place.get("dbname", url.database),
        query={name: place[name] for name in ("host", "port") if name in place},
    )
    return Address(url, {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT})


def _options(query: str) -> dict[str, str]:
    """The options by libpq's names; ``ssl`` is what SQLAlchemy calls the mode."""
    found: dict[str, str] = {}
    for given, value in parse_qsl(query, keep_blank_values=True):
        name = "sslmode" if given == "ssl" else given
        if name in found:
            raise ValueError(f"has the option {_named(name)} twice")
        found[name] = value
    return found


def _check_option(name: str, value: str) -> None:
    if name in _ADVICE:
        raise ValueError(f"has the option {name}, which {_ADVICE[name]}")
    if name in _WITHOUT_EFFECT:
        if value.lower() not in _WITHOUT_EFFECT[name]:
            raise ValueError(f"has the option {name} with a value that cannot be had; leave it out")
    elif name not in _SAME | _PLACE | _OURS:
        raise ValueError(f"has the option {_named(name)}, which the portal does not know; leave it out")
    if name == "sslmode" and value not in SSL_MODES:
        raise ValueError(f"has an sslmode that is none of {', '.join(SSL_MODES)}")
    if name == "connect_timeout" and not re.fullmatch(r"\d{1,4}", value, re.ASCII):
        raise ValueError("has a connect_timeout that is no number of seconds")


def _named(name: str) -> str:
    """An option's name as it may be shown: a password with an unescaped ? would end up in its place."""
    return name if re.fullmatch(r"[a-z_]{1,40}", name, re.ASCII) else "after ?"
