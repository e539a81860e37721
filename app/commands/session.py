"""The ground a command works on: settings, a database that is ready, and an operator's context."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import AsyncIterator
from pathlib import Path

from app.access.permissions import Role
from app.commands.output import CommandFailedError
from app.context import Actor, Context
from app.database import schema
from app.errors import SchemaBehindError
from app.runtime import Runtime
from app.services.demonstration import seed_demonstration
from app.settings import Settings, load_settings
from app.telemetry.log import configure_logging


@contextlib.asynccontextmanager
async def operating(settings: Settings | None = None) -> AsyncIterator[Context]:
    """A context of the person at the command line, on connections of its own.

    In development the database is brought to the newest migration first, and a new one gets the demonstration, so
    that any command may be the first one; in production SchemaBehindError is raised.
    """
    settings = settings or load_settings()
    log_warnings(settings)
    is_new = await make_ready(settings)
    runtime = Runtime(settings)
    try:
        # Whoever holds the installation's secret key may do everything.
        name = f"{user_name()} on the command line"
        ctx = Context(runtime, Actor("operator", name, permissions=Role.OWNER.permissions))
        if is_new:
            await seed_demonstration(ctx)
        yield ctx
    finally:
        await runtime.close()


async def make_ready(settings: Settings) -> bool:
    """Migrate in development, check in production; answers whether the database was empty before.

    Raises SchemaBehindError or DatabaseUnavailableError.
    """
    found = None if is_new_file(settings) else await schema.current_revision(settings)
    if settings.environment == "production":
        if found != schema.head_revision():
            raise SchemaBehindError(found=found, needed=schema.head_revision())
        return False
    if found != schema.head_revision():
        await migrate(settings)
    return found is None


async def migrate(settings: Settings) -> tuple[str | None, str]:
    """Bring the database to the newest migration; answers the revision before and after."""
    from alembic.util import CommandError

    try:
        return await schema.upgrade(settings)
    except CommandError as failure:
        message = f"The database was migrated by a newer version of the portal ({failure}); install that version."
        raise CommandFailedError("schema_unknown", message) from failure


def log_warnings(settings: Settings) -> None:
    """Log what a command must say, and no more unless more was asked for."""
    configure_logging(settings, level="warning" if settings.log_level == "info" else settings.log_level)


def user_name() -> str:
    """Who runs this process; in a container the user may have a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def is_new_file(settings: Settings) -> bool:
    """Whether there is no SQLite file yet: asking it would make it, or fail for want of a folder."""
    name = settings.database.database
    return settings.database.get_backend_name() == "sqlite" and bool(name) and not Path(str(name)).exists()
