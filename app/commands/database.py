"""The database's schema, from the command line."""

from __future__ import annotations

from app.commands import session
from app.commands.output import answer
from app.commands.parameters import AsJson
from app.settings import load_settings


async def migrate(*, as_json: AsJson = False) -> None:
    """Bring the database to the newest migration; repeating it changes nothing."""
    settings = load_settings()
    session.log_warnings(settings)
    before, after = await session.migrate(settings)
    message = f"Migrated from {before or 'an empty database'} to {after}."
    answer(as_json, {"before": before, "after": after}, f"Already at {after}." if before == after else message)
