"""The history of settings: who has changed which field from what to what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import orjson

from app.context import Context
from app.database.connections import WriteConnection
from sql.statements import setting_changes as statements

Scope = Literal["system", "project", "agent"]


class Difference(NamedTuple):
    """A field's value before and after a change."""

    old: Any
    new: Any


def differences(stored: Any, changes: Mapping[str, Any]) -> dict[str, Difference]:
    """The changes whose value is not the one that the stored record has."""
    return {
        name: Difference(getattr(stored, name), value)
        for name, value in changes.items()
        if value != getattr(stored, name)
    }


async def record_setting_changes(
    conn: WriteConnection,
    ctx: Context,
    scope: Scope,
    changes: Mapping[str, Difference],
    *,
    version: int,
    project_id: str | None = None,
    agent_type: str | None = None,
) -> None:
    """Write a row for each changed field in the caller's transaction, which has made this version."""
    await conn.insert_all(
        statements.insert_setting_changes,
        [
            {
                "scope": scope,
                "project_id": project_id,
                "agent_type": agent_type,
                "field": field,
                "old_value": orjson.dumps(change.old).decode(),
                "new_value": orjson.dumps(change.new).decode(),
                "version": version,
                "actor_type": ctx.actor.type,
                "actor_name": ctx.actor.name,
                "actor_id": ctx.actor.id,
                "request_id": ctx.request_id,
                "changed_at": ctx.now(),
            }
            for field, change in changes.items()
        ],
    )
