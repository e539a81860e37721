"""Alembic's entry point: migrates on the caller's connection, for the portal and for developers alike."""

from __future__ import annotations

from alembic import context

from sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
