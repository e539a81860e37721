"""Watching a run over HTTP: every event once and in order from any number on, and what ends a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.admin import as_tenant
from support.clocks import MovableClock
from support.journey import until
from support.live import LiveServer, live_server
from support.projects import created
from support.refusals import Findings
from support.statements import counted_statements
from support.watching import COUNTED, Run, Watchers, Watching, begun, happen, open_streams

from app.services.runs import watches
from app.services.runs.sources import RunSource
from app.services.runs.tail import Page
from app.services.tenants.deletion import delete_tenant
from app.settings import Settings
from blueprints.web import event_streams

MANY = 450
# How long a session may be told something after its end.
TOLD_SECONDS = 5.0


@pytest.fixture
async def watchers() -> AsyncIterator[Watchers]:
    """Clients that hang up at the end of the test."""
    watchers = Watchers()
    yield watchers
    await watchers.hang_up()


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens every two seconds happens at once, so that no test waits for it."""
    monkeypatch.setattr(watches, "LOOK_SECONDS", 0.05)


def test_sessions_are_looked_at_often_enough() -> None:
    assert 2 * watches.LOOK_SECONDS < TOLD_SECONDS


async def test_a_watcher_is_told_what_was_and_what_comes(sanic_client: LiveServer, watchers: Watchers) -> None:
    run = await begun(sanic_client)
    await happen(sanic_client.runtime, run, 3)
    watching = await watchers.watch(sanic_client, run)
    await watching.until(3)
    await happen(sanic_client.runtime, run, 2)
    await watching.until(5)
    await happen(sanic_client.runtime, run, 1, ends=True)
    await watchers.ended(watching)

    assert watching.headers["content-type"] == "text/event-stream"
    assert watching.headers["cache-control"] == "no-store"
    assert watching.numbers == [1, 2, 3, 4, 5, 6]
    first = watching.told[0]
    assert (first.number, first.kind) == (1, "task_started")
    assert first.data.keys() == {"number", "kind", "message", "at", "run", "task"}
    assert first.data["run"] == {"id": run.id, "state": "running", "totalTasks": 1, **dict.fromkeys(COUNTED, 0)}
    assert first.data["at"].endswith("Z")
    assert watching.told[-2].kind == "run_completed"
    assert watching.end == "run_ended"
    assert watching.is_whole


async def test_whoever_comes_back_with_any_number_is_told_the_rest(
    sanic_client: LiveServer, watchers: Watchers
) -> None:
    run = await begun(sanic_client)
    await happen(sanic_client.runtime, run, 5)
    by_header = [await watchers.watch(sanic_client, run, last=number) for number in range(7)]
    by_query = [await watchers.watch(sanic_client, run, query=f"?after={number}") for number in range(6)]
    both = await watchers.watch(sanic_client, run, query="?after=1", last=4)
    await happen(sanic_client.runtime, run, 2, ends=True)
    late = [await watchers.watch(sanic_client, run, last=number) for number in range(8)]
    for watching in (*by_header, *by_query, *late, both):
        await watchers.ended(watching)

    # The run had not reached 6: that number was of another run.
    expected = [list(range(number + 1, 8)) for number in range(6)]
    assert [watching.numbers for watching in by_header] == [*expected, expected[0]]
    assert [watching.numbers for watching in by_query] == expected
    assert [watching.numbers for watching in late] == [*expected, [7], []]
    assert both.numbers == [5, 6, 7]
    assert {watching.end for watching in (*by_header, *by_query, *late, both)} == {"run_ended"}


async def test_what_happens_while_a_late_watcher_catches_up_is_told_once(
    sanic_client: LiveServer, watchers: Watchers
) -> None:
    run = await begun(sanic_client)
    early = await watchers.watch(sanic_client, run)
    await happen(sanic_client.runtime, run, MANY)
    late: list[Watching] = []

    async def come() -> None:
        late.extend([await watchers.watch(sanic_client, run, last=number) for number in range(0, MANY, 50)])

    async def go_on() -> None:
        for _ in range(60):
            await happen(sanic_client.runtime, run, 2, size=10)

    await asyncio.gather(come(), go_on())
    await happen(sanic_client.runtime, run, ends=True)
    for watching in (early, *late):
        await watchers.ended(watching, 30)

    last = MANY + 121
    assert early.numbers == list(range(1, last + 1))
    assert [watching.numbers for watching in late] == [
        list(range(number + 1, last + 1)) for number in range(0, MANY, 50)
    ]


async def test_what_the_others_are_told_while_a_late_watcher_reads_is_not_passed(
    sanic_client: LiveServer, watchers: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, may_answer, page = await begun(sanic_client), asyncio.Event(), RunSource.page

    async def slow_page(self: RunSource, after: int, tenant_id: int | None) -> Page:
        found = await page(self, after, tenant_id)
        if after == 1:
            await may_answer.wait()
        return found

    await happen(sanic_client.runtime, run, 5)
    early = await watchers.watch(sanic_client, run, last=5)
    monkeypatch.setattr(RunSource, "page", slow_page)
    late = await watchers.watch(sanic_client, run, last=1)
    await happen(sanic_client.runtime, run, 5)
    await early.until(5)
    may_answer.set()
    await happen(sanic_client.runtime, run, ends=True)
    await watchers.ended(late)

    assert late.numbers == list(range(2, 12))


async def test_watchers_share_what_is_read(sanic_client: LiveServer, watchers: Watchers) -> None:
    run = await begun(sanic_client)
    watching = [await watchers.watch(sanic_client, run) for _ in range(30)]
    await happen(sanic_client.runtime, run)
    for one in watching:
        await one.until(1)
    with counted_statements(sanic_client.runtime.db) as seen:
        for _ in range(10):
            await happen(sanic_client.runtime, run, rings=False)
        sanic_client.runtime.run_moved(run.id, run.tenant.tenant_id)
        for one in watching:
            await one.until(11)

    read = [statement for statement in seen if "FROM runs LEFT OUTER JOIN run_events" in statement]
    assert len(read) == 1
    assert all(one.numbers == list(range(1, 12)) for one in watching)


async def test_nothing_is_asked_for_a_run_that_nobody_watches(
    sanic_client: LiveServer, watchers: Watchers, looking_often: None
) -> None:
    run = await begun(sanic_client)
    watching = await watchers.watch(sanic_client, run)
    await happen(sanic_client.runtime, run)
    await watching.until(1)
    await watching.close()
    await until(lambda: open_streams() == 0)
    with counted_statements(sanic_client.runtime.db) as seen:
        await asyncio.sleep(0.2)
        sanic_client.runtime.run_moved(run.id, run.tenant.tenant_id)
        await asyncio.sleep(0.1)

    assert seen == []


async def refusal(watchers: Watchers, live: LiveServer, run: Run, **asked: str) -> tuple[int, str]:
    watching = await watchers.watch(live, run, **asked)
    return watching.status, watching.problem["errorCode"]


async def test_what_cannot_be_watched_is_refused_before_the_stream_begins(
    sanic_client: LiveServer, watchers: Watchers
) -> None:
    run, other = await begun(sanic_client), await begun(sanic_client)
    idle = (await created(sanic_client, run.tenant, "Never run"))["projectId"]
    theirs = Run(other.id, other.tenant, other.project_id, run.headers)
    nothing = Run(0, run.tenant, "no-such", run.headers)

    assert await refusal(watchers, sanic_client, theirs) == (404, "project_not_found")
    assert await refusal(watchers, sanic_client, nothing) == (404, "project_not_found")
    assert await refusal(watchers, sanic_client, Run(0, run.tenant, idle, run.headers)) == (404, "not_yet_run")
    assert await refusal(watchers, sanic_client, run, query=f"?run={other.id}") == (404, "run_not_found")
    assert await refusal(watchers, sanic_client, run, query="?run=x") == (422, "validation_error")
    assert await refusal(watchers, sanic_client, run, query="?after=-1") == (422, "validation_error")
    stranger = Run(run.id, run.tenant, run.project_id)
    assert await refusal(watchers, sanic_client, stranger) == (401, "session_missing")
    assert open_streams() == 0


async def test_a_last_number_that_is_none_is_refused_by_its_name(sanic_client: LiveServer, watchers: Watchers) -> None:
    run = await begun(sanic_client)
    findings = Findings()
    for number in ("x", "-1", "1.5", "\u0661", "9" * 12, "2147483648"):
        watching = await watchers.watch(sanic_client, run, **{"last-event-id": number})
        places = [wrong["loc"] for wrong in watching.problem["detail"]] if watching.status == 422 else []
        findings.add(number, (watching.status, places), (422, [["header", "Last-Event-ID"]]))

    assert findings.found == findings.expected


async def test_the_newest_run_is_watched_unless_another_is_named(sanic_client: LiveServer, watchers: Watchers) -> None:
    first = await begun(sanic_client)
    await happen(sanic_client.runtime, first, 2, ends=True)
    second = await begun(sanic_client, first.tenant, first.project_id)
    await happen(sanic_client.runtime, second, 1)
    newest = await watchers.watch(sanic_client, first)
    named = await watchers.watch(sanic_client, first, query=f"?run={first.id}")
    await watchers.ended(named)
    await newest.until(1)

    assert [told.data["run"]["id"] for told in named.told[:-1]] == [first.id] * 2
    assert [told.data["run"]["id"] for told in newest.told] == [second.id]


async def test_the_head_of_a_stream_watches_nothing(sanic_client: LiveServer) -> None:
    run = await begun(sanic_client)
    answer = await sanic_client.http.head(run.place, headers=run.headers)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert open_streams() == 0


async def test_a_stream_in_which_nothing_happens_shows_that_it_lives(
    settings: Settings, watchers: Watchers, looking_often: None
) -> None:
    """Longer than the framework lets an answer take of which nothing is sent."""
    async with live_server(settings.model_copy(update={"response_timeout_seconds": 1})) as live:
        run = await begun(live)
        watching = await watchers.watch(live, run)
        await asyncio.sleep(1.5)
        await happen(live.runtime, run)
        await watching.until(1)
        assert watching.pings >= 3


async def test_as_many_watch_as_may(settings: Settings, watchers: Watchers) -> None:
    limits = {"max_watchers": 5, "max_watchers_per_tenant": 3}
    async with live_server(settings.model_copy(update=limits)) as live:
        run, other = await begun(live), await begun(live)
        mine = [await watchers.watch(live, run) for _ in range(3)]
        fourth = await watchers.watch(live, run)
        theirs = [await watchers.watch(live, other) for _ in range(2)]
        sixth = await watchers.watch(live, other)
        await mine[0].close()
        await until(lambda: open_streams() == 4)
        again = await watchers.watch(live, run)

    assert {watching.status for watching in (*mine, *theirs, again)} == {200}
    assert (fourth.status, fourth.problem["errorCode"], fourth.problem["limit"]) == (429, "too_many_watchers", 3)
    assert (sixth.status, sixth.problem["errorCode"], sixth.headers["retry-after"]) == (503, "overloaded", "10")


async def test_signing_out_ends_the_session_s_streams_and_no_others(
    sanic_client: LiveServer, watchers: Watchers, looking_often: None
) -> None:
    run = await begun(sanic_client)
    other = Run(run.id, run.tenant, run.project_id, await as_tenant(sanic_client, run.tenant.tenant_id))
    ended, stays = await watchers.watch(sanic_client, run), await watchers.watch(sanic_client, other)
    await happen(sanic_client.runtime, run)
    await sanic_client.http.post("/api/tenant/auth/logout", headers=run.headers)
    await watchers.ended(ended)
    await happen(sanic_client.runtime, run)
    await stays.until(2)

    assert (ended.numbers, ended.end) == ([1], "session_ended")
    assert stays.end is None


@pytest.mark.parametrize("passes", ["session_idle_seconds", "session_seconds"])
async def test_a_session_that_has_expired_ends_its_streams(
    sanic_client: LiveServer, watchers: Watchers, clock: MovableClock, looking_often: None, passes: str
) -> None:
    run = await begun(sanic_client)
    watching = await watchers.watch(sanic_client, run)
    clock.move(seconds=getattr(sanic_client.runtime.settings, passes) + 1)
    await watchers.ended(watching)

    assert watching.end == "session_ended"


async def test_a_stream_is_no_activity_of_its_session(
    sanic_client: LiveServer, watchers: Watchers, clock: MovableClock, looking_often: None
) -> None:
    run = await begun(sanic_client)
    watching = await watchers.watch(sanic_client, run)
    for _ in range(3):
        clock.move(seconds=sanic_client.runtime.settings.session_idle_seconds / 3 + 1)
        await happen(sanic_client.runtime, run)
    await watchers.ended(watching)

    assert watching.end == "session_ended"


async def test_a_deleted_tenant_is_told_nothing_more(
    sanic_client: LiveServer, watchers: Watchers, looking_often: None
) -> None:
    run = await begun(sanic_client)
    watching = await watchers.watch(sanic_client, run)
    await delete_tenant(sanic_client.ctx, run.tenant.slug)
    await happen(sanic_client.runtime, run)
    await watchers.ended(watching)

    assert watching.numbers == []
    assert watching.end in {"deleted", "session_ended"}


async def test_a_server_that_stops_ends_its_streams_in_order(settings: Settings, watchers: Watchers) -> None:
    async with live_server(settings) as live:
        run = await begun(live)
        watching = [await watchers.watch(live, run) for _ in range(3)]
        await happen(live.runtime, run, 2)
        for one in watching:
            await one.until(2)
        await live.runtime.drain()
        refused = await watchers.watch(live, run)
    for one in watching:
        await watchers.ended(one)

    assert all(one.is_whole and one.end is None for one in watching)
    assert (refused.status, refused.problem["errorCode"]) == (503, "shutting_down")


async def test_a_client_that_does_not_read_is_cut_off_and_comes_back_for_the_rest(
    sanic_client: LiveServer, watchers: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "UNREAD_SECONDS", 0.3)
    run = await begun(sanic_client)
    reads, sleeps = await watchers.watch(sanic_client, run), await watchers.watch(sanic_client, run, reads=False)
    # More than all buffers between the two take.
    for _ in range(12):
        await happen(sanic_client.runtime, run, 100, size=20_000)
    await reads.until(1200, 60)
    await until(lambda: open_streams() == 1)
    await sleeps.read()
    rest = await watchers.watch(sanic_client, run, last=sleeps.numbers[-1])
    await rest.until(1200 - len(sleeps.numbers), 60)

    assert not sleeps.is_whole
    assert 0 < len(sleeps.numbers) < 1200
    assert sleeps.numbers + rest.numbers == reads.numbers == list(range(1, 1201))


async def test_the_document_describes_the_stream(sanic_client: LiveServer) -> None:
    document = (await sanic_client.http.get("/openapi.json")).json()
    said = document["paths"]["/api/tenant/projects/{project_id}/events"]["get"]

    assert said["responses"]["200"]["content"].keys() == {"text/event-stream"}
    (header,) = (parameter for parameter in said["parameters"] if parameter["in"] == "header")
    assert (header["name"], header["required"]) == ("Last-Event-ID", False)
