"""Mail about critical alerts: once to each recipient, and what becomes of mail that fails or was interrupted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.llm_usage import USD, set_settings, spend
from support.rows import change, rows, told
from support.sign_in import mailed
from support.smtp import free_port, smtp_elsewhere

from app.errors import DeliveryDeferredError
from app.jobs.schedules import ERRANDS
from app.services.llm.alert_mails import ALERT_MAIL, ALERT_MAILS, MAX_ATTEMPTS, UNKNOWN, mails_waiting, send_mail
from app.services.llm.key_alerts import key_refused
from app.settings import load_settings
from sql.tables import alert_mails, llm_alerts

TWO = ("ops@portal.test", "boss@portal.test")


@contextlib.asynccontextmanager
async def server_with(
    database: str, folder: Path, recipients: tuple[str, ...] = TWO, clock: MovableClock | None = None, **settings: Any
) -> AsyncIterator[LiveServer]:
    async with live_server(settings_for(database, folder, alert_recipients=recipients, **settings), clock) as live:
        yield live


async def critical(live: LiveServer, percent: int = 95) -> None:
    """Spend so much of a budget at once."""
    await set_settings(live, monthly_budget=100 * USD, daily_budget=10**6 * USD)
    await spend(live.ctx, percent * USD)


async def ids(live: LiveServer) -> list[int]:
    return [row.id for row in await rows(live, select(alert_mails.c.id).order_by(alert_mails.c.id))]


async def send_all(live: LiveServer) -> list[object]:
    return [(await send_mail(live.ctx, mail_id))["state"] for mail_id in await ids(live)]


async def ended(live: LiveServer) -> list[tuple[Any, ...]]:
    columns = (alert_mails.c.state, alert_mails.c.failure, alert_mails.c.attempts)
    return [tuple(row) for row in await rows(live, select(*columns).order_by(alert_mails.c.id))]


async def test_a_critical_alert_is_mailed_once_to_each(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path) as live:
        queued: list[tuple[str, int]] = []
        live.runtime.enqueue = lambda errand, row_id: queued.append((errand, row_id))
        await critical(live, 90)
        assert await ids(live) == []
        await spend(live.ctx, 5 * USD)
        assert queued == [(ALERT_MAIL, mail_id) for mail_id in await ids(live)]
        assert [len(await ids(live)), ALERT_MAILS in ERRANDS] == [2, True]

        # As often as an engine may begin it, and at the same time.
        states = await asyncio.gather(*(send_mail(live.ctx, mail_id) for mail_id in [*await ids(live)] * 4))

        assert sorted(str(state["state"]) for state in states) == ["ended before"] * 6 + ["sent"] * 2
        messages = await mailed(live)
        assert sorted(message.to for message in messages) == sorted(TWO)
        assert {message.subject for message in messages} == {"Critical alert: 95 % of the monthly budget is spent"}
        assert "models have cost 95.00 of 100.00 USD." in messages[0].text
        # The next level is another alert; nobody is told of this one again.
        await spend(live.ctx, 5 * USD)
        assert await send_all(live) == ["ended before"] * 2 + ["sent"] * 2
        assert len(await mailed(live)) == 4


async def test_fifty_settlements_at_once_make_one_mail_for_each_alert(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path, TWO[:1]) as live:
        await set_settings(live, monthly_budget=50 * USD, daily_budget=10**6 * USD)
        await asyncio.gather(*(spend(live.ctx, USD) for _ in range(50)))
        assert await send_all(live) == ["sent"] * 2
        assert sorted(message.subject.split()[2] for message in await mailed(live)) == ["100", "95"]


async def test_a_refused_key_is_mailed_too(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path, TWO[:1]) as live:
        for _ in range(2):
            await key_refused(live.ctx, "anthropic")
        assert await send_all(live) == ["sent"]
        assert "ANTHROPIC_API_KEY" in (await mailed(live))[0].text


async def test_without_recipients_nothing_is_kept_for_mail(sanic_client: LiveServer) -> None:
    await critical(sanic_client, 100)
    assert len(await rows(sanic_client, llm_alerts.select())) == 6
    assert await ids(sanic_client) == []


async def test_who_is_no_recipient_any_more_gets_nothing(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path) as live:
        await critical(live)
    async with server_with(database, tmp_path, (TWO[1], "new@portal.test")) as live:
        assert await send_all(live) == ["withdrawn", "sent"]
        assert [message.to for message in await mailed(live)] == [TWO[1]]
        await spend(live.ctx, 5 * USD)
        assert (await send_all(live))[2:] == ["sent", "sent"]
        assert sorted(message.to for message in await mailed(live)) == [TWO[1], TWO[1], "new@portal.test"]


async def test_an_alert_that_is_gone_is_not_mailed(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path) as live:
        await critical(live)
        (first, _) = await ids(live)
        await change(live, llm_alerts.delete())
        assert await send_mail(live.ctx, first) == {"state": "ended before"}
        assert await mailed(live) == []


async def test_a_server_that_says_not_now_is_tried_again(database: str, tmp_path: Path) -> None:
    async with (
        smtp_elsewhere() as post,
        server_with(database, tmp_path, TWO[:1], smtp_url=f"smtp://127.0.0.1:{post.port}") as live,
    ):
        await critical(live)
        (mail,) = await ids(live)
        post.refusals = ["451 greylisted"]
        with pytest.raises(DeliveryDeferredError, match="451 greylisted"):
            await send_mail(live.ctx, mail)
        assert await ended(live) == [("waiting", None, 1)]
        assert await send_all(live) == ["sent"]
        assert await send_all(live) == ["ended before"]
        assert post.recipients == [TWO[0]]
        assert await ended(live) == [("sent", None, 2)]


async def test_what_cannot_be_sent_is_given_up_and_told(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path, TWO[:1], smtp_url=f"smtp://127.0.0.1:{free_port()}") as live:
        await critical(live)
        (mail,) = await ids(live)
        for _ in range(MAX_ATTEMPTS - 1):
            with pytest.raises(DeliveryDeferredError):
                await send_mail(live.ctx, mail)
        assert await send_mail(live.ctx, mail) == {"state": "failed"}
        ((state, reason, attempts),) = await ended(live)
        assert (state, attempts) == ("failed", MAX_ATTEMPTS)
        event = (await told(live))[-1]
        assert event.event_type == "delivery_failed"
        assert orjson.loads(event.metadata) | {"alert_id": 0} == {
            "alert_id": 0,
            "recipient": TWO[0],
            "reason": reason,
        }


async def test_what_may_have_arrived_is_not_sent_again(database: str, tmp_path: Path, clock: MovableClock) -> None:
    async with server_with(database, tmp_path, TWO[:1], clock) as live:
        await critical(live)
        (mail,) = await ids(live)
        # Its process was killed while the server took it.
        await change(live, update(alert_mails).values(state="sending", attempts=1, begun_at=live.ctx.now()))
        assert await send_all(live) == ["ended before"]
        clock.move(minutes=5)
        assert await mails_waiting(live.ctx) == []
        clock.move(minutes=6)
        assert await mails_waiting(live.ctx) == [mail]
        assert await send_all(live) == ["failed"]
        assert await mails_waiting(live.ctx) == []
        assert await mailed(live) == []
        assert await ended(live) == [("failed", UNKNOWN, 1)]
        assert (await told(live))[-1].event_type == "delivery_failed"


async def test_what_waits_too_long_is_swept_up(database: str, tmp_path: Path, clock: MovableClock) -> None:
    async with server_with(database, tmp_path, TWO[:1], clock) as live:
        await critical(live)
        assert await mails_waiting(live.ctx) == []
        clock.move(seconds=30)
        assert await mails_waiting(live.ctx) == await ids(live)


@pytest.mark.parametrize(
    "wrong", ["nobody", "a@b c", "ä@portal.test", "<x@y.z>", ",".join(f"a{n}@b.c" for n in range(21))]
)
def test_who_is_no_address_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PORTAL_ALERT_RECIPIENTS", wrong)
    with pytest.raises(Exception, match="alert_recipients"):
        load_settings(state_dir=tmp_path)
    monkeypatch.setenv("PORTAL_ALERT_RECIPIENTS", "a@b.c, d@e.f,a@b.c")
    assert load_settings(state_dir=tmp_path).alert_recipients == ("a@b.c", "d@e.f")
