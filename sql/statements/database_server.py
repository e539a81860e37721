"""Queries about the database server itself."""

from __future__ import annotations

from sqlalchemy import bindparam, cast, column, func, select, table, text
from sqlalchemy.types import Integer

from sql.tables.columns import Instant

sqlite_version = select(func.sqlite_version())

postgresql_version = select(func.current_setting("server_version"))

# The portal is no superuser, so it cannot use the reserved connections.
usable_connections = select(
    cast(func.current_setting("max_connections"), Integer)
    - cast(func.current_setting("superuser_reserved_connections"), Integer)
)

# Now, and not when the transaction began.
clock = select(func.clock_timestamp(type_=Instant))

_extensions = table("pg_available_extensions", column("name"), column("installed_version"))

trigram_extension = select(_extensions.c.installed_version).where(_extensions.c.name == "pg_trgm")

# Rings for the processes that listen; the text says what for. It is sent by itself: inside a transaction it would make
# commits wait for each other.
ring_doorbell = select(func.pg_notify(bindparam("channel"), bindparam("payload")))


# What a server must be for the portal: its encoding, and whether this user may do what the durable engine needs: make
# its schema, or fill an empty one, or change the tables of one that is there.
fitness = text("""
    SELECT current_setting('server_encoding') AS encoding, current_database() AS database, current_user AS "user",
        CASE
            WHEN engine.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
            WHEN NOT has_schema_privilege(engine.oid, 'USAGE') THEN false
            ELSE coalesce(
                (
                    SELECT bool_and(
                        has_table_privilege(tables.oid, 'SELECT') AND has_table_privilege(tables.oid, 'INSERT')
                        AND has_table_privilege(tables.oid, 'UPDATE') AND has_table_privilege(tables.oid, 'DELETE')
                    )
                    FROM pg_catalog.pg_class AS tables
                    WHERE tables.relnamespace = engine.oid AND tables.relkind IN ('r', 'p')
                ),
                has_schema_privilege(engine.oid, 'CREATE')
            )
        END AS may_work
    FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_namespace AS engine ON engine.nspname = :engine
""").columns(column("encoding"), column("database"), column("user"), column("may_work"))

# What connections through a pooler begin with: its own configuration has to say it.
session_settings = select(
    func.current_setting("jit"),
    func.current_setting("random_page_cost"),
    func.current_setting("lock_timeout").label("lock_timeout"),
    func.current_setting("idle_in_transaction_session_timeout").label("idle_timeout"),
)
