"""The context of a command: its settings, a migrated database, and the permissions of an operator."""

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
from app.jobs.calls import call_for_errands
from app.runtime import Runtime
from app.services.demonstration import seed_demonstration
from app.settings import Settings, load_settings
from app.telemetry.log import configure_logging


@contextlib.asynccontextmanager
async def operating(settings: Settings | None = None) -> AsyncIterator[Context]:
    """A context for the user of the command line, with its own connections.

    In development it first migrates the database, and adds the demonstration data to a new one, so that any command may
    be the first to run. In production it raises SchemaBehindError if the database is not migrated.
    """
    settings = settings or load_settings()
    log_warnings(settings)
    is_new = await make_ready(settings)
    runtime = Runtime(settings)
    call_for_errands(runtime)
    try:
        # The user has the installation's secret key, so the command may do everything.
        name = f"{user_name()} on the command line"
        ctx = Context(runtime, Actor("operator", name, permissions=Role.OWNER.permissions))
        if is_new:
            await seed_demonstration(ctx)
        yield ctx
    finally:
        await runtime.close()


async def make_ready(settings: Settings) -> bool:
    """Migrate in development, check in production; returns whether the database was empty before.

    Raises SchemaBehindError or DatabaseUnavailableError.
    """
    revision = None if is_new_file(settings) else await schema.current_revision(settings)
    if settings.environment == "production":
        if revision != schema.head_revision():
            raise SchemaBehindError(found=revision, needed=schema.head_revision())
        return False
    if revision != schema.head_revision():
        await migrate(settings)
    return revision is None


async def migrate(settings: Settings) -> tuple[str | None, str]:
    """Run the missing migrations; returns the revision before and after."""
    from alembic.util import CommandError

    try:
        return await schema.upgrade(settings)
    except CommandError as failure:
        message = f"The database was migrated by a newer version of the portal ({failure}); install that version."
        raise CommandFailedError("schema_unknown", message) from failure


def log_warnings(settings: Settings) -> None:
    """Configure logging for a command: warnings only, unless the settings have a level other than the default."""
    configure_logging(settings, level="warning" if settings.log_level == "info" else settings.log_level)


def user_name() -> str:
    """The name of the user who runs this process; in a container a user may have only a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def is_new_file(settings: Settings) -> bool:
    """Whether the SQLite file does not exist yet; connecting would create it, or fail without its folder."""
    name = settings.database.database
    return settings.database.get_backend_name() == "sqlite" and bool(name) and not Path(str(name)).exists()
