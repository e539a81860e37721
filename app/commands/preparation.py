"""Preparation in the main process, so that an error is reported once, and not by every worker."""

from __future__ import annotations

from app.commands.session import make_ready
from app.context import Actor, Context
from app.runtime import Runtime
from app.services.demonstration import seed_demonstration
from app.settings import Settings


async def prepare(settings: Settings) -> None:
    """Migrate or check the database, load the signing keys, and in development add the demonstration data.

    Raises SchemaBehindError in production, DatabaseUnavailableError, or SettingsError if the secret key is another one.
    """
    await make_ready(settings)
    runtime = Runtime(settings)
    try:
        await runtime.tokens.load()
        if settings.environment == "development":
            await seed_demonstration(Context(runtime, Actor("system", "portal serve")))
    finally:
        await runtime.close()
