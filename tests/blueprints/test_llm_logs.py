"""The log of model calls as a list: filters, pages by number and by cursor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from support.admin import as_operator
from support.builders import licensed
from support.clocks import MovableClock, StandingClock
from support.live import LiveServer
from support.llm_usage import USD, answered, asked, call_row, log_call, log_calls
from support.rows import change, rows
from support.statements import counted_statements

from sql import counting
from sql.tables import llm_calls


async def described(live: LiveServer, **query: Any) -> list[str]:
    """What is on a page of the log, by the descriptions of the tasks."""
    return [call["task_description"] for call in (await answered(live, "logs", **query))["logs"]]


async def test_a_call_is_shown_as_the_page_reads_it(sanic_client: LiveServer) -> None:
    at = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    await log_call(sanic_client, at, cost=1_234_567_890, duration_ms=1235, error_message="too long", success=False)
    ((call_id,),) = await rows(sanic_client, llm_calls.select().with_only_columns(llm_calls.c.id))

    page = await answered(sanic_client, "logs", range="all")

    assert page == {
        "logs": [
            {
                "id": str(call_id),
                "timestamp": "2026-05-04T03:02:01Z",
                "agent_type": "coder",
                "provider": "openai",
                "model": "gpt-4o",
                "input_tokens": 100,
                "output_tokens": 20,
                "cost": 1.2346,
                "duration_seconds": 1.24,
                "success": False,
                "error_message": "too long",
                "task_description": "",
                "cached": False,
            }
        ],
        "total": 1,
        "total_is_capped": False,
        "page": 1,
        "page_size": 50,
        "total_pages": 1,
        "next_cursor": None,
    }


async def test_an_empty_log_has_no_pages(sanic_client: LiveServer) -> None:
    page = await answered(sanic_client, "logs")

    assert (page["logs"], page["total"], page["total_pages"], page["next_cursor"]) == ([], 0, 0, None)


async def test_each_range_begins_where_it_says(sanic_client: LiveServer, clock: MovableClock) -> None:
    # Half past eight of some morning.
    today = clock.now().replace(hour=8, minute=30)
    clock.move(seconds=(today + timedelta(days=1) - clock.now()).total_seconds())
    for name, ago in (
        ("now", timedelta()),
        ("early", timedelta(hours=8)),
        ("yesterday", timedelta(hours=9)),
        ("days ago", timedelta(days=6)),
        ("weeks ago", timedelta(days=29)),
        ("long ago", timedelta(days=400)),
    ):
        await log_call(sanic_client, clock.now() - ago, task_description=name)

    everything = ["now", "early", "yesterday", "days ago", "weeks ago", "long ago"]
    for query, count in (
        ({"range": "today"}, 2),
        ({"range": "1day"}, 3),
        ({"range": "7days"}, 4),
        ({}, 4),
        ({"range": "30days"}, 5),
        ({"range": "all"}, 6),
        ({"range": "whatever"}, 6),
    ):
        page = await answered(sanic_client, "logs", **query)
        assert [call["task_description"] for call in page["logs"]] == everything[:count], query
        assert page["total"] == count


async def test_each_filter_chooses_and_all_together_do(sanic_client: LiveServer) -> None:
    mine, other = await licensed(sanic_client), await licensed(sanic_client)
    whose = {"tenant_id": mine.tenant_id, "project_id": "acme-shop"}
    calls: dict[str, dict[str, Any]] = {
        "plain": {},
        "agent": {"agent_type": "researcher"},
        "provider": {"provider": "gemini", "model": "gemini-2.5-flash"},
        "error": {"success": False},
        "cached": {"cached": True},
        "mine": whose,
        "other": {"tenant_id": other.tenant_id, "project_id": "other"},
        "all": {**whose, "agent_type": "researcher", "provider": "gemini", "success": False},
    }
    for name, values in calls.items():
        await log_call(sanic_client, task_description=name, **values)

    for query, expected in (
        ({"agent": "researcher"}, {"agent", "all"}),
        ({"provider": "gemini"}, {"provider", "all"}),
        ({"status": "error"}, {"error", "all"}),
        ({"status": "success"}, calls.keys() - {"error", "all"}),
        ({"status": "cached"}, {"cached"}),
        ({"tenant_slug": mine.slug}, {"mine", "all"}),
        ({"project_id": "acme-shop"}, {"mine", "all"}),
        ({"tenant_slug": "nobody"}, set()),
        (
            {
                "agent": "researcher",
                "provider": "gemini",
                "status": "error",
                "tenant_slug": mine.slug,
                "project_id": "acme-shop",
            },
            {"all"},
        ),
    ):
        page = await answered(sanic_client, "logs", **query)
        assert {call["task_description"] for call in page["logs"]} == expected, query
        assert page["total"] == len(expected)


@pytest.fixture
def clock() -> StandingClock:
    """Many calls of one moment: only their ids put them in order."""
    return StandingClock()


async def test_pages_by_number_and_by_cursor_are_the_same_calls_in_the_same_order(sanic_client: LiveServer) -> None:
    live, headers = sanic_client, await as_operator(sanic_client, "read_only")
    await log_calls(live, *(call_row(live, task_description=f"{number:02}") for number in range(25)))

    numbered = [await answered(live, "logs", headers, page=page, page_size=10) for page in (1, 2, 3, 4)]
    cursor: dict[str, str] = {}
    followed = []
    while True:
        followed.append(await answered(live, "logs", headers, page_size=10, **cursor))
        if followed[-1]["next_cursor"] is None:
            break
        cursor = {"cursor": followed[-1]["next_cursor"]}
        # What is written meanwhile is newer than all of them.
        await log_call(live, task_description="new")

    names = [[call["task_description"] for call in page["logs"]] for page in numbered]
    assert [name for page in names for name in page] == [f"{number:02}" for number in range(24, -1, -1)]
    assert [len(page) for page in names] == [10, 10, 5, 0]
    assert [[call["task_description"] for call in page["logs"]] for page in followed] == names[:3]
    assert [page["next_cursor"] is None for page in numbered] == [False, False, True, True]
    assert {(page["total"], page["total_pages"]) for page in numbered} == {(25, 3)}
    assert [page["total"] for page in followed] == [25, 26, 27]


async def test_a_total_above_the_bound_is_marked(sanic_client: LiveServer) -> None:
    some = [call_row(sanic_client) for _ in range(counting.MAX_COUNTED + 1)]
    await log_calls(sanic_client, *some)

    more = await answered(sanic_client, "logs", page_size=200)
    await change(sanic_client, delete(llm_calls).where(llm_calls.c.request_id == some[0]["request_id"]))
    as_many = await answered(sanic_client, "logs", page_size=200)

    assert (more["total"], more["total_is_capped"], more["total_pages"]) == (10_000, True, 50)
    assert (as_many["total"], as_many["total_is_capped"]) == (10_000, False)


async def test_a_page_is_one_statement_however_many_calls_there_are(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    for number in (0, 5, 300):
        if number:
            await log_calls(sanic_client, *(call_row(sanic_client, cost=USD) for _ in range(number)))
        for query in ({}, {"range": "all", "page": 3, "status": "error"}, {"agent": "coder", "page_size": 200}):
            with counted_statements(sanic_client.runtime.db) as seen:
                await answered(sanic_client, "logs", headers, **query)
            # One of them finds the token.
            assert len(seen) == 2, seen


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page", "0"),
        ("page", str(2**63)),
        ("page", "NaN"),
        ("page_size", "0"),
        ("page_size", "201"),
        ("status", "lost"),
        ("agent", "\x00"),
        ("provider", "x" * 33),
        ("range", "x" * 21),
        ("tenant_slug", ""),
        ("project_id", "\x00"),
        ("cursor", "nonsense"),
        ("cursor", "LTEuLTE"),
    ],
)
async def test_what_cannot_be_asked_names_the_field(sanic_client: LiveServer, field: str, value: str) -> None:
    answer = await asked(sanic_client, "logs", **{field: value})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", field]
