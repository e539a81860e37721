"""Alerts about budgets as operators meet them: listed, and dismissed once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from support.admin import as_operator
from support.clocks import MovableClock, StandingClock
from support.live import LiveServer
from support.llm_usage import USD, answered, set_settings, spend
from support.refusals import Findings, invalid, refusal
from support.rows import rows, told

from app.services.llm import alerts as alert_list
from app.services.llm.budget_alerts import raise_budget_alerts
from sql.tables import llm_alerts


@pytest.fixture
def clock() -> StandingClock:
    """In the middle of a month and of a day."""
    clock = StandingClock()
    middle = clock.now().replace(month=6, day=15, hour=12) + timedelta(days=365)
    clock.move(seconds=(middle - clock.now()).total_seconds())
    return clock


async def dismissed(live: LiveServer, alert_id: Any, headers: dict[str, str], **body: Any) -> Any:
    return await live.http.post(f"/api/llm/alerts/{alert_id}", headers=headers, json=body or {"action": "dismiss"})


async def test_alerts_are_listed_as_the_page_reads_them_newest_first(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    await set_settings(sanic_client, monthly_budget=1000 * USD, daily_budget=10**6 * USD)
    moments = []
    for cost in (500, 300, 150):
        await spend(sanic_client.ctx, cost * USD)
        moments.append(clock.now())
        clock.move(hours=1)

    alerts = (await answered(sanic_client, "alerts"))["alerts"]

    stored = [row.id for row in await rows(sanic_client, llm_alerts.select().order_by(llm_alerts.c.id.desc()))]
    assert [alert["id"] for alert in alerts] == [str(row_id) for row_id in stored]
    assert [alert["level"] for alert in alerts] == ["critical", "warning", "warning", "info", "info"]
    assert alerts[0] == {
        "id": str(stored[0]),
        "timestamp": moments[2].isoformat().replace("+00:00", "Z"),
        "level": "critical",
        "type": "budget",
        "message": "95 % of the monthly budget is spent",
        "details": f"In {clock.now():%Y-%m} models have cost 950.00 of 1,000.00 USD.",
        "resolved": False,
        "actions": ["dismiss"],
    }


async def test_the_first_dismissal_counts_and_is_told_once(sanic_client: LiveServer, clock: MovableClock) -> None:
    live, headers = sanic_client, await as_operator(sanic_client, "operator")
    await spend(live.ctx, 25 * USD)
    ((alert_id, moment),) = [(row.id, clock.now()) for row in await rows(live, llm_alerts.select())]

    answers = await asyncio.gather(*(dismissed(live, alert_id, headers) for _ in range(4)))
    clock.move(hours=1)
    again = await dismissed(live, alert_id, await as_operator(live))

    assert {answer.status_code for answer in (*answers, again)} == {200}
    assert {(answer.json()["resolved"], len(answer.json()["actions"])) for answer in (*answers, again)} == {(True, 0)}
    (row,) = await rows(live, llm_alerts.select())
    assert (row.dismissed_at, row.dismissed_by) == (moment, "token tests as operator")
    events = [event for event in await told(live) if event.event_type == "alert_dismissed"]
    assert [(event.severity, event.actor_name) for event in events] == [("minor", "token tests as operator")]
    assert (await answered(live, "alerts"))["alerts"] == [again.json()]
    # What was dismissed is not raised again.
    await spend(live.ctx, USD)
    assert await raise_budget_alerts(live.ctx) == {"raised": 0}
    assert [row.id for row in await rows(live, llm_alerts.select())] == [alert_id]


async def test_the_list_is_bounded_and_what_is_open_comes_first(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, headers = sanic_client, await as_operator(sanic_client)
    monkeypatch.setattr(alert_list, "MAX_ALERTS", 4)
    await set_settings(live, monthly_budget=10**6 * USD, daily_budget=USD)
    for _ in range(6):
        await spend(live.ctx, USD // 2)
        clock.move(days=1)
    one, two, three, four, five, six = [str(row.id) for row in await rows(live, llm_alerts.select())]

    async def shown() -> list[str]:
        return [alert["id"] for alert in (await answered(live, "alerts", headers))["alerts"]]

    assert await shown() == [six, five, four, three]
    for alert_id in (six, four, three):
        assert (await dismissed(live, alert_id, headers)).status_code == 200
    assert await shown() == [five, two, one, six]


async def test_another_action_is_refused_and_changes_nothing(sanic_client: LiveServer) -> None:
    await spend(sanic_client.ctx, 25 * USD)
    (row,) = await rows(sanic_client, llm_alerts.select())
    headers = await as_operator(sanic_client)
    bodies: list[dict[str, Any]] = [{"action": "snooze"}, {"action": None}, {"act": "dismiss"}]
    findings = Findings()

    for body in bodies:
        answer = await dismissed(sanic_client, row.id, headers, **body)
        status, code, places = refusal(answer)
        findings.add(body, (status, code, places[:1]), invalid("body", "action"))

    assert findings.found == findings.expected
    assert await rows(sanic_client, llm_alerts.select()) == [row]


async def test_what_is_no_alert_is_not_found(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client)
    alert_ids: tuple[Any, ...] = (1, 0, -1, 2**63, "budget_80")
    findings = Findings()

    for alert_id in alert_ids:
        answer = await dismissed(sanic_client, alert_id, headers)
        findings.add(str(alert_id), answer.status_code, 404)

    assert findings.found == findings.expected
    assert [event for event in await told(sanic_client) if event.event_type == "alert_dismissed"] == []


async def test_who_only_reads_dismisses_nothing(sanic_client: LiveServer) -> None:
    answer = await dismissed(sanic_client, 1, await as_operator(sanic_client, "read_only"))

    assert answer.status_code == 403
