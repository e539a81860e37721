"""The purge: what has ended goes, what has not stays, and a tenant's sessions that go together are one event."""

from __future__ import annotations

import json
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import insert, select
from support.clocks import MovableClock
from support.live import LiveServer
from support.rows import change, row_counts, rows, told
from support.sign_in import generate, reachable, sent_code, signed_in
from support.statements import counted_statements

from app.__main__ import main
from app.database import removal
from app.services.upkeep.sessions import purge_sessions
from sql.tables import rate_windows, tenant_sessions

SESSION = "/api/tenant/auth/session"


async def test_ended_sessions_go_after_a_day_with_one_event_a_tenant(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    tenant = await reachable(sanic_client)
    for _ in range(2):
        await signed_in(sanic_client, tenant)
    clock.move(days=1, minutes=31)
    other = await signed_in(sanic_client)
    stays = await signed_in(sanic_client)

    removed = await purge_sessions(sanic_client.ctx)

    assert removed["sessions"] == 2
    left = await rows(sanic_client, select(tenant_sessions.c.tenant_id).order_by(tenant_sessions.c.tenant_id))
    assert [row.tenant_id for row in left] == sorted([other.id, stays.id])
    event = (await told(sanic_client, tenant.id))[-1]
    assert (event.event_type, event.title, orjson.loads(event.metadata)) == (
        "session_expired",
        "2 sessions expired",
        {"sessions": 2},
    )
    assert (await purge_sessions(sanic_client.ctx))["sessions"] == 0
    assert (await sanic_client.http.get(SESSION, headers=stays.headers)).status_code == 200


async def test_who_comes_back_within_the_day_is_told_that_the_session_expired(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    tenant = await signed_in(sanic_client)
    clock.move(hours=2)
    await purge_sessions(sanic_client.ctx)

    answer = await sanic_client.http.get(SESSION, headers=tenant.headers)

    assert (answer.status_code, answer.json()["errorCode"]) == (401, "session_expired")


async def test_challenges_limits_and_old_messages_go(sanic_client: LiveServer, clock: MovableClock) -> None:
    await sent_code(sanic_client, (await reachable(sanic_client)).slug)
    before = await row_counts(sanic_client)
    assert (before["otp_challenges"], before["rate_windows"], before["deliveries"]) == (1, 3, 1)

    clock.move(minutes=11)
    assert await purge_sessions(sanic_client.ctx) == {
        "operator_sessions": 0,
        "sign_in_links": 0,
        "sessions": 0,
        "challenges": 1,
        "tenant_sign_in_links": 0,
        "contact_changes": 0,
        "rate_windows": 1,
        "deliveries": 0,
    }
    clock.move(days=31)
    await generate(sanic_client, "somebody")
    removed = await purge_sessions(sanic_client.ctx)
    assert (removed["rate_windows"], removed["deliveries"]) == (2, 1)
    after = await row_counts(sanic_client)
    assert (after["otp_challenges"], after["rate_windows"], after["deliveries"]) == (0, 3, 1)


async def test_very_many_windows_go_some_at_a_time(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 2)
    for number in range(6):
        window = {"key_hash": number.to_bytes(32), "hits": 1, "ends_at": clock.now() + timedelta(minutes=number)}
        await change(sanic_client, insert(rate_windows).values(window))
    clock.move(minutes=4)
    with counted_statements(sanic_client.runtime.db) as statements:
        removed = await purge_sessions(sanic_client.ctx)

    assert removed["rate_windows"] == 5
    assert sum("DELETE FROM rate_windows" in statement for statement in statements) == 3
    assert (await row_counts(sanic_client))["rate_windows"] == 1


@pytest.mark.usefixtures("state")
def test_the_command_line_does_it_now(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["portal", "purge-sessions", "--json"])

    assert main() == 0
    kinds = ("operator_sessions", "sign_in_links", "sessions", "challenges", "tenant_sign_in_links", "rate_windows")
    assert json.loads(capsys.readouterr().out) == dict.fromkeys((*kinds, "contact_changes", "deliveries"), 0)
