"""The usage log: a row for each attempt, in the transaction that settles it, and for each answer that was kept."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.calendar import day_of
from app.context import Context
from app.database.connections import WriteConnection, as_batch
from app.services.ledger.accounts import Owner
from app.services.ledger.settlements import Closed
from sql.statements import llm_calls as statements

# As long as the columns.
MAX_DESCRIPTION = 500
MAX_PREVIEW = 500
MAX_ERROR = 1000


class Caller(NamedTuple):
    """Who makes a call and for whom, as the log tells it."""

    owner: Owner
    agent_type: str
    agent_id: str | None = None
    task_id: int | None = None
    description: str | None = None


class LoggedCall(NamedTuple):
    """What an attempt adds to its row: what came of it."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    duration_ms: int = 0
    error: str | None = None
    text: str = ""


def details_of(caller: Caller, provider: str, model: str) -> dict[str, object]:
    """The part of the row that is known before the call, kept with its reservation."""
    owner = caller.owner
    return {
        "tenant_id": owner.tenant_id,
        "project_id": owner.project_id,
        "run_id": owner.run_id,
        "task_id": caller.task_id,
        "agent_type": caller.agent_type,
        "agent_id": caller.agent_id,
        "provider": provider,
        "model": model,
        "task_description": _storable(caller.description, MAX_DESCRIPTION),
    }


def call_row(ctx: Context, closed: Closed, details: Mapping[str, object], call: LoggedCall) -> dict[str, Any]:
    """The row of an attempt whose reservation was closed; it bears the reservation's time."""
    return {
        **call_columns(ctx, details, call, closed.created_at),
        "request_id": closed.request_id,
        "created_at": closed.created_at,
        "cost": closed.used,
    }


def call_columns(ctx: Context, details: Mapping[str, object], call: LoggedCall, created_at: datetime) -> dict[str, Any]:
    """What of the row is known before the reservation is closed."""
    return {
        **details,
        "day": day_of(created_at, ctx.runtime.zone),
        "input_tokens": call.input_tokens,
        "cached_input_tokens": call.cached_input_tokens,
        "output_tokens": call.output_tokens,
        "duration_ms": call.duration_ms,
        "success": call.error is None,
        "cached": False,
        "error_message": _storable(call.error, MAX_ERROR),
        "response_preview": _storable(call.text, MAX_PREVIEW) or None,
    }


async def log_cached(ctx: Context, caller: Caller, provider: str, model: str, text: str, duration_ms: int) -> None:
    """Write the row of an answer that was kept: nothing was reserved, no token used, and it costs nothing."""
    now = ctx.now()
    row = {
        **details_of(caller, provider, model),
        "request_id": uuid.uuid4().hex,
        "created_at": now,
        "day": day_of(now, ctx.runtime.zone),
        "cost": 0,
        "input_tokens": 0,
        "cached_input_tokens": 0,
        "output_tokens": 0,
        "duration_ms": duration_ms,
        "success": True,
        "cached": True,
        "error_message": None,
        "response_preview": _storable(text, MAX_PREVIEW),
    }
    async with ctx.write_autocommit() as conn:
        await conn.affected(statements.insert_calls, batch=as_batch([row]))


async def log_calls(conn: WriteConnection, rows: Sequence[Mapping[str, object]]) -> None:
    """Write these rows in the transaction that has closed their reservations."""
    if rows:
        await conn.affected(statements.insert_calls, batch=as_batch(rows))


def _storable(text: str | None, length: int) -> str | None:
    """As much of a text as a column keeps; PostgreSQL keeps no NUL, and neither database half a character."""
    return None if text is None else text.replace("\0", "").encode(errors="replace").decode()[:length]
