"""Removing what is over: facts that nothing rests on any more, and codes that nobody has looked at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from app.context import Context
from app.database.removal import remove_all
from sql.statements import inbox as statements

KEEP_FACTS: Final = timedelta(days=90)
KEEP_CODES: Final = timedelta(days=30)


async def remove_old_facts(ctx: Context) -> Mapping[str, object]:
    """Remove what was handled 90 days ago and says nothing of how things are, and purchased codes after 30 days."""
    now = ctx.now()
    facts = await remove_all(ctx.runtime.db, statements.delete_old_facts, before=now - KEEP_FACTS)
    async with ctx.write_autocommit() as conn:
        codes = await conn.affected(statements.forget_codes, before=now - KEEP_CODES)
    return {"facts": facts, "purchases": codes}
