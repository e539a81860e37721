"""The list of events: filters, pages that neither skip nor repeat, and CSV."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import Response, TransportError
from sqlalchemy import delete
from support.admin import as_operator
from support.builders import activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer
from support.refusals import Findings, invalid, refusal
from support.rows import change, told
from support.statements import counted_statements

from app.context import Actor
from app.errors import DatabaseUnavailableError
from app.events import Event, EventType, record
from app.services.audit import trail
from app.services.audit.trail import COLUMNS
from sql.tables import tenants


async def asked(live: LiveServer, headers: dict[str, str] | None = None, **query: Any) -> Response:
    return await live.http.get(
        "/admin/api/events", params=query, headers=headers or await as_operator(live, "read_only")
    )


async def listed(live: LiveServer, **query: Any) -> list[dict[str, Any]]:
    answer = await asked(live, page_size=200, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]


async def write(live: LiveServer, *titles: str, by: str = "tests", tenant_id: int | None = None) -> None:
    ctx = live.ctx._replace(actor=Actor("operator", by))
    async with live.ctx.write() as conn:
        await record(conn, ctx, *(Event(EventType.PLAN_UPDATED, title, tenant_id=tenant_id) for title in titles))


async def test_events_are_listed_newest_first_with_everything_they_tell(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    events = await listed(sanic_client)

    stored = await told(sanic_client)
    assert [event["id"] for event in events] == [event.id for event in reversed(stored)]
    enrolled = next(event for event in events if event["event_type"] == "device_enrolled")
    assert tuple(enrolled) == COLUMNS
    assert (enrolled["tenant_id"], enrolled["device_id"]) == (device.tenant.tenant_id, device.device_id)
    assert isinstance(enrolled["metadata"], dict)
    assert enrolled["created_at"].endswith("Z")
    assert [event["id"] for event in await listed(sanic_client, order="oldest")] == [event.id for event in stored]


async def test_each_filter_chooses_and_all_together_do(sanic_client: LiveServer, clock: MovableClock) -> None:
    live = sanic_client
    first = await activated(live)
    clock.move(hours=2)
    border = clock.now()
    second = await activated(live)
    await write(live, "by Ann", by="ann@example.com", tenant_id=second.tenant.tenant_id)
    stored = await told(live)

    for query, expected in (
        ({"event_type": "device_enrolled"}, [row for row in stored if row.event_type == "device_enrolled"]),
        ({"severity": "minor"}, [row for row in stored if row.severity == "minor"]),
        ({"tenant_slug": first.tenant.slug}, [row for row in stored if row.tenant_id == first.tenant.tenant_id]),
        ({"tenant_id": second.tenant.tenant_id}, [row for row in stored if row.tenant_id == second.tenant.tenant_id]),
        ({"actor": "ann@example.com"}, [row for row in stored if row.actor_name == "ann@example.com"]),
        ({"since": border.isoformat()}, [row for row in stored if row.created_at >= border]),
        ({"until": border.isoformat()}, [row for row in stored if row.created_at < border]),
    ):
        assert expected
        assert len(expected) < len(stored)
        assert [row["id"] for row in await listed(live, **query)] == [row.id for row in reversed(expected)], query
    everything = {
        "event_type": "plan_updated",
        "severity": "major",
        "tenant_slug": second.tenant.slug,
        "actor": "ann@example.com",
        "since": border.isoformat(),
        "until": (border + timedelta(hours=1)).isoformat(),
    }
    assert [row["title"] for row in await listed(live, **everything)] == ["by Ann"]
    assert await listed(live, event_type="never_heard_of") == []


async def test_a_deleted_tenant_is_found_by_its_id(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    await change(sanic_client, delete(tenants).where(tenants.c.id == tenant.tenant_id))

    by_slug = await asked(sanic_client, tenant_slug=tenant.slug)

    assert (by_slug.status_code, by_slug.json()["errorCode"]) == (404, "tenant_not_found")
    assert len(await listed(sanic_client, tenant_id=tenant.tenant_id)) == 3


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_pages_neither_skip_nor_repeat_while_others_write(sanic_client: LiveServer, order: str) -> None:
    """One transaction is held open, so its events get low ids and appear last."""
    live, headers = sanic_client, await as_operator(sanic_client, "read_only")
    await write(live, *(f"early {number}" for number in range(25)))
    seen: list[str] = []
    written: list[str] = []

    async def read_on() -> None:
        cursor: dict[str, str] = {}
        while True:
            page = (await asked(live, headers, page_size=4, order=order, **cursor)).json()
            seen.extend(event["title"] for event in page["events"])
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    async def write_on() -> None:
        for number in range(30):
            await write(live, f"late {number}")
            written.append(f"late {number}")
            await asyncio.sleep(0.001)

    async with live.ctx.write() as conn:
        await record(conn, live.ctx, Event(EventType.PLAN_UPDATED, "slow"))
        writing = asyncio.create_task(write_on())
        if not live.runtime.db.is_sqlite:
            await asyncio.sleep(0.02)
        await read_on()
    await writing

    assert len(seen) == len(set(seen))
    early = [title for title in seen if title.startswith("early")]
    assert sorted(early) == sorted(f"early {number}" for number in range(25))
    assert "slow" not in seen
    seen.clear()
    await read_on()
    assert sorted(seen) == sorted(["slow", *written, *early])


async def test_a_page_ends_where_the_events_end(sanic_client: LiveServer) -> None:
    await write(sanic_client, "one", "two")

    page = (await asked(sanic_client, page_size=2)).json()

    assert ([event["title"] for event in page["events"]], page["next_cursor"]) == (["two", "one"], None)
    with counted_statements(sanic_client.runtime.db) as seen:
        await asked(sanic_client, headers=await as_operator(sanic_client, "read_only"), page_size=1)
    # Adding the token, finding it, and the page.
    assert len(seen) == 3


WRONG_QUERIES = [
    ("cursor", "nonsense"),
    ("cursor", "LTEuLTE"),
    ("cursor", "é"),
    ("page_size", "0"),
    ("page_size", "201"),
    ("severity", "huge"),
    ("since", "2026-01-01T00:00:00"),
    ("since", "0001-01-01T00:00:00+14:00"),
    ("until", "9999-12-31T23:59:59-14:00"),
    ("tenant_id", "0"),
    ("actor", "\x00"),
]


async def test_what_cannot_be_asked_names_the_field(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    findings = Findings()

    for field, value in WRONG_QUERIES:
        answer = await asked(sanic_client, headers, **{field: value})
        findings.add(f"{field}={value}", refusal(answer), invalid("query", field))

    assert findings.found == findings.expected


async def test_a_plus_that_became_a_blank_is_told(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    findings = Findings()

    for offset in (" 01:00", " 0530", ".25 01:00"):
        blank = await asked(sanic_client, headers, since=f"2026-01-01T08:00:00{offset}")
        plus = await asked(sanic_client, headers, since=f"2026-01-01T08:00:00{offset.replace(' ', '+')}")
        found = (refusal(blank, "errors"), "write %2B instead of +" in blank.text, plus.status_code)
        findings.add(offset, found, (invalid("query", "since"), True, 200))

    assert findings.found == findings.expected


@pytest.mark.parametrize("way", ["query", "header"])
async def test_all_events_come_as_csv(sanic_client: LiveServer, way: str) -> None:
    await write(sanic_client, *(f"event {number}, with a comma" for number in range(1203)))
    headers = await as_operator(sanic_client, "read_only")

    if way == "query":
        answer = await asked(sanic_client, headers, format="csv", page_size=3)
    else:
        answer = await asked(sanic_client, {**headers, "accept": "text/csv, */*;q=0.1"})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="events.csv"'
    assert answer.headers["x-request-id"]
    # By it a spreadsheet knows UTF-8.
    assert answer.content.startswith("\ufeff".encode())
    read = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert tuple(read[0]) == COLUMNS
    assert [row["id"] for row in read] == [str(event.id) for event in reversed(await told(sanic_client))]
    assert {row["title"] for row in read} == {f"event {number}, with a comma" for number in range(1203)}


async def test_head_of_a_file_tells_what_get_would_bring(
    sanic_client: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    headers = await as_operator(sanic_client, "read_only")

    answer = await sanic_client.http.head("/admin/api/events?format=csv", headers=headers)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_no_cell_of_the_csv_is_a_formula(sanic_client: LiveServer) -> None:
    formulas = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u200b=1",
        "\uff1d1",
        "\uff0d1",
        "\uff20A",
    ]
    titles = [*formulas, 'a "quoted" one', "plain", "a=1", "'=1"]
    await write(sanic_client, *titles)

    answer = await asked(sanic_client, format="csv", order="oldest")

    read = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [row["title"] for row in read] == [f"'{title}" for title in formulas] + titles[len(formulas) :]


async def test_a_wrong_tenant_is_an_error_also_for_csv(sanic_client: LiveServer) -> None:
    answer = await asked(sanic_client, tenant_slug="nobody", format="csv")

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "tenant_not_found")


async def test_a_csv_that_fails_on_the_way_is_cut_and_not_taken_for_whole(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, headers = sanic_client, await as_operator(sanic_client, "read_only")
    await write(live, *(f"event {number}" for number in range(600)))
    page, pages = trail._page, []

    async def fail_at_the_second(*asked: Any) -> Any:
        pages.append(asked)
        if len(pages) == 2:
            raise DatabaseUnavailableError
        return await page(*asked)

    monkeypatch.setattr(trail, "_page", fail_at_the_second)
    with pytest.raises(TransportError):
        await asked(live, headers, format="csv")
    monkeypatch.undo()

    assert (await asked(live, headers)).status_code == 200


async def test_who_may_not_read_events_is_refused(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)

    nobody = await sanic_client.http.get("/admin/api/events")
    a_device = await sanic_client.http.get("/admin/api/events", headers=device.headers)

    assert (nobody.status_code, nobody.json()["errorCode"]) == (401, "operator_missing")
    assert a_device.status_code == 401
