"""Queries about the database server itself."""

from __future__ import annotations

from sqlalchemy import bindparam, cast, column, func, select, table
from sqlalchemy.types import Integer

sqlite_version = select(func.sqlite_version())

postgresql_version = select(func.current_setting("server_version"))

# The portal is no superuser, so it cannot use the reserved connections.
usable_connections = select(
    cast(func.current_setting("max_connections"), Integer)
    - cast(func.current_setting("superuser_reserved_connections"), Integer)
)

_extensions = table("pg_available_extensions", column("name"), column("installed_version"))

trigram_extension = select(_extensions.c.installed_version).where(_extensions.c.name == "pg_trgm")

# Rings for the processes that listen; the text says what for. It is sent by itself: inside a transaction it would make
# commits wait for each other.
ring_doorbell = select(func.pg_notify(bindparam("channel"), bindparam("payload")))
