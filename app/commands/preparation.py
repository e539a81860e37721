"""What must be true before a worker starts, so that one clear line says what is wrong instead of every worker."""

from __future__ import annotations

from app.commands.session import make_ready
from app.context import Actor, Context
from app.runtime import Runtime
from app.services.demonstration import seed_demonstration
from app.settings import Settings


async def prepare(settings: Settings) -> None:
    """Bring the database and the signing keys into place, in development with the demonstration.

    Raises SchemaBehindError in production, DatabaseUnavailableError, or SettingsError for another secret key.
    """
    await make_ready(settings)
    runtime = Runtime(settings)
    try:
        await runtime.tokens.load()
        if settings.environment == "development":
            await seed_demonstration(Context(runtime, Actor("system", "portal serve")))
    finally:
        await runtime.close()
