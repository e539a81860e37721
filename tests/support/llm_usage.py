"""Calls of models, templates and settings, as whatever calls models writes them."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from httpx2 import Response
from sqlalchemy import insert
from support.admin import as_operator
from support.live import LiveServer
from support.rows import change

from app.calendar import day_of
from app.context import Context
from app.services.ledger.accounts import Owner, account_ids, money_accounts
from app.services.ledger.reservations import Hold, reserve
from app.services.ledger.settlements import Closing
from app.services.llm.settlement import BUDGETS, Settlement, settle_call
from app.services.llm.system_settings import DEFAULTS
from app.services.llm.usage_log import Caller, LoggedCall, details_of
from sql.tables import learned_templates, llm_calls, system_settings, template_techs

USD = 1_000_000_000


def call_row(live: LiveServer, at: datetime | None = None, **values: Any) -> dict[str, Any]:
    """A row of the log: a call that cost a cent and took a second, now unless told otherwise."""
    at = at or live.ctx.now()
    usual = {
        "request_id": uuid.uuid4().hex,
        "tenant_id": None,
        "project_id": None,
        "agent_type": "coder",
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 100,
        "cached_input_tokens": 10,
        "output_tokens": 20,
        "cost": USD // 100,
        "duration_ms": 1000,
        "success": True,
        "cached": False,
        "error_message": None,
        "task_description": None,
    }
    return {**usual, "created_at": at, "day": day_of(at, live.runtime.zone), **values}


async def log_calls(live: LiveServer, *rows: dict[str, Any]) -> None:
    """Write these rows of ``call_row`` into the log, in one transaction."""
    async with live.ctx.write() as conn:
        await conn.insert_all(insert(llm_calls), rows)


async def log_call(live: LiveServer, at: datetime | None = None, **values: Any) -> None:
    """Write one row into the log."""
    await log_calls(live, call_row(live, at, **values))


async def spend(ctx: Context, cost: int, owner: Owner | None = None) -> None:
    """A call that has cost so much, in 1e-9 USD, reserved and settled as every call is."""
    owner = owner or Owner()
    ids = await account_ids(ctx, money_accounts(owner, ctx.today()))
    details, now = details_of(Caller(owner, "coder"), "openai", "gpt-4o"), ctx.now()
    reservation_id = await reserve(ctx, Hold(uuid.uuid4().hex, "money", 0, ids, now, details=details), BUDGETS)
    closing = Closing(reservation_id, "settled", cost)
    assert await settle_call(ctx, Settlement(closing, LoggedCall(), details, now)) == cost


async def set_settings(live: LiveServer, **values: Any) -> None:
    """Write the row of the system's settings."""
    row = {**asdict(DEFAULTS), **values, "id": 1, "version": 1, "updated_at": live.ctx.now()}
    await change(live, system_settings.insert().values(**row))


async def learn(live: LiveServer, name: str, *techs: str, **values: Any) -> str:
    """A template of this name with this stack; its id."""
    template_id = str(uuid.uuid4())
    row = {
        "template_id": template_id,
        "name": name,
        "description": "",
        "task_pattern": "an endpoint that lists",
        "pattern_signature": uuid.uuid4().hex,
        "template_content": "def handler(): ...",
        "source_llm": "gpt-4o",
        "quality_score": 92.5,
        "parameters": orjson.dumps(["table", "columns"]).decode(),
        "created_at": live.ctx.now(),
        **values,
    }
    stack = [{"template_id": template_id, "position": position, "tech": tech} for position, tech in enumerate(techs)]
    async with live.ctx.write() as conn:
        await conn.affected(insert(learned_templates), **row)
        # The last first: the order of the rows is not that of the stack.
        await conn.insert_all(insert(template_techs), list(reversed(stack))) if stack else None
    return template_id


async def asked(live: LiveServer, path: str, headers: dict[str, str] | None = None, **query: Any) -> Response:
    """The answer to a GET below /api/llm, of a read-only operator unless other headers are given."""
    headers = headers or await as_operator(live, "read_only")
    return await live.http.get(f"/api/llm/{path}", params=query, headers=headers)


async def answered(live: LiveServer, path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
    """The body of that answer, which is 200."""
    answer = await asked(live, path, headers, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()
