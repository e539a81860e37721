"""The purge of ended sessions, from the command line."""

from __future__ import annotations

from app.commands.output import answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.upkeep.sessions import purge_sessions as purge


async def purge_sessions(*, as_json: AsJson = False) -> None:
    """Remove sessions, challenges and limits that have ended, as the server does every hour."""
    async with operating() as ctx:
        counts = await purge(ctx)
    summary = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
    answer(as_json, counts, f"Removed {summary}.")
