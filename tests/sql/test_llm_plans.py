"""Plans about models: each filter of the log, each half of the alerts and each removal of what is old has its index."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text
from support.live import LiveServer
from support.llm_usage import call_row
from support.plans import plan_of

from app.cursors import EPOCH
from sql.lists.llm_call_list import CallFilter, call_page
from sql.statements import answer_cache, llm_alerts, llm_usage
from sql.tables import llm_alerts as alerts_table
from sql.tables import llm_calls, model_answers

CALLS = 4_000
PAGE = {"page_size": 51, "skip": 0, "since": EPOCH}


async def fill(live: LiveServer) -> None:
    """So many that reading all of them is not the quickest; what few of them have is what is asked for."""
    now = live.ctx.now()
    rows = [
        call_row(
            live,
            now - timedelta(minutes=number),
            tenant_id=number % 400 + 1,
            project_id=f"project-{number % 400}",
            agent_type="coder" if number % 100 else "qa",
            provider="openai" if number % 100 else "gemini",
            success=number % 100 != 0,
            cached=number % 100 == 0,
        )
        for number in range(CALLS)
    ]
    raised = [
        {
            "key": str(number),
            "type": "budget",
            "level": "info",
            "message": "m",
            "details": "d",
            "created_at": now,
            "dismissed_at": now if number % 2 else None,
        }
        for number in range(CALLS)
    ]
    async with live.ctx.write() as conn:
        await conn.insert_all(insert(llm_calls), rows)
        await conn.insert_all(insert(alerts_table), raised)
    # What other tests have left in the pages would make reading an index look dearer than it is.
    async with live.ctx.write_autocommit() as conn:
        await conn.affected(text("ANALYZE" if live.runtime.db.is_sqlite else "VACUUM (ANALYZE) llm_calls, llm_alerts"))


@pytest.mark.parametrize(
    ("index", "filters", "status"),
    [
        ("ix_llm_calls_created_at_id", {}, None),
        ("ix_llm_calls_created_at_id", {}, "success"),
        ("ix_llm_calls_failed", {}, "error"),
        ("ix_llm_calls_cached", {}, "cached"),
        ("ix_llm_calls_agent_type_created_at_id", {"agent_type": "qa"}, None),
        ("ix_llm_calls_provider_created_at_id", {"provider": "gemini"}, None),
        ("ix_llm_calls_agent_type_provider_created_at_id", {"agent_type": "qa", "provider": "openai"}, None),
        ("ix_llm_calls_tenant_id_created_at_id", {"tenant_slug": "t-1"}, None),
        ("ix_llm_calls_project_id_created_at_id", {"project_id": "project-1"}, None),
    ],
)
@pytest.mark.parametrize("is_after_cursor", [False, True])
async def test_each_filter_of_the_log_is_read_and_counted_in_its_index(
    sanic_client: LiveServer, index: str, filters: dict[str, str], status: Any, is_after_cursor: bool
) -> None:
    await fill(sanic_client)
    values = {**PAGE, **filters}
    if is_after_cursor:
        values |= {"cursor_at": sanic_client.ctx.now(), "cursor_id": CALLS}

    statement = call_page(CallFilter(**dict.fromkeys(filters, True)), status, is_after_cursor)
    plan = await plan_of(sanic_client, statement, values)

    # The page and the total.
    assert plan.count(index) == 2, plan
    for whole in ("Seq Scan on llm_calls", "SCAN llm_calls\n"):
        assert whole not in plan + "\n", plan
    # Only the rows of the page are sorted again, on the way to the answer.
    assert plan.count("Sort  " if not sanic_client.runtime.db.is_sqlite else "TEMP B-TREE") <= 1, plan


async def test_the_newest_alerts_come_from_an_index_for_each_half(sanic_client: LiveServer) -> None:
    await fill(sanic_client)

    plan = await plan_of(sanic_client, llm_alerts.alerts, {"max_rows": 200})

    for index in ("ix_llm_alerts_open", "ix_llm_alerts_dismissed"):
        assert index in plan, plan


async def test_old_calls_and_the_rows_of_a_day_are_found_by_their_day(sanic_client: LiveServer) -> None:
    await fill(sanic_client)
    day = sanic_client.ctx.today()

    removing = await plan_of(sanic_client, llm_usage.delete_old_calls, {"first_kept_day": day, "max_rows": 2000})
    checking = await plan_of(sanic_client, llm_usage.days_that_differ, {"day": day, "max_rows": 100})

    assert "ix_llm_calls_day" in removing, removing
    assert "ix_llm_calls_day" in checking, checking


async def test_answers_are_found_by_their_key_and_old_ones_by_their_age(sanic_client: LiveServer) -> None:
    live, now = sanic_client, sanic_client.ctx.now()
    kept = [
        {"key_hash": b"%d" % number, "text": "t", "answered_at": now, "held_until": None} for number in range(CALLS)
    ]
    asked = [{"key_hash": b"a%d" % number, "held_until": now} for number in range(10)]
    async with live.ctx.write() as conn:
        await conn.insert_all(insert(model_answers), kept)
        await conn.insert_all(insert(model_answers), asked)
    async with live.ctx.write_autocommit() as conn:
        await conn.affected(text("ANALYZE" if live.runtime.db.is_sqlite else "VACUUM (ANALYZE) model_answers"))

    question = {"of_tenant_id": None, "key_hash": b"1", "minimum_score": 0, "now": now, "kept_since": now}
    looking = await plan_of(live, answer_cache.answer_by_key, question)
    old = await plan_of(live, answer_cache.delete_old_answers, {"kept_since": now, "max_rows": 500})
    unanswered = await plan_of(live, answer_cache.delete_unanswered, {"now": now, "max_rows": 500})

    key = "sqlite_autoindex_model_answers_1" if live.runtime.db.is_sqlite else "pk_model_answers"
    assert key in looking, looking
    assert "ix_model_answers_answered_at" in old, old
    assert "ix_model_answers_unanswered" in unanswered, unanswered
