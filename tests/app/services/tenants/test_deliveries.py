"""Messages to tenants: over real SMTP, into the mailbox, through a provider, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import insert, select, update
from support.clocks import MovableClock
from support.databases import settings_for
from support.live import LiveServer, live_server
from support.messages import MessageProvider, message_provider
from support.rows import change, rows, told
from support.sign_in import code_in, deliver_all, generate, mailed, reachable, verify
from support.smtp import free_port, smtp_elsewhere

from app.errors import DeliveryDeferredError
from app.messages.mail import smtp_server
from app.services.tenants.deliveries import MAX_ATTEMPTS, deliver, deliveries_waiting, request_delivery
from sql.tables import deliveries, otp_challenges, tenants

STRONG = "k7Qm2vX9pR4tW8zB1nC6dF3gH5jL0sYa"


@contextlib.asynccontextmanager
async def server_with(database: str, folder: Path, **settings: Any) -> AsyncIterator[LiveServer]:
    async with live_server(settings_for(database, folder, **settings)) as live:
        yield live


async def requested(live: LiveServer, slug: str, kind: Any = "one_time_password") -> int:
    async with live.ctx.write() as conn:
        return await request_delivery(conn, kind, slug, at=live.ctx.now())


async def ended(live: LiveServer) -> list[tuple[str, str | None, int]]:
    found = await rows(
        live, select(deliveries.c.state, deliveries.c.failure, deliveries.c.attempts).order_by(deliveries.c.id)
    )
    return [tuple(row) for row in found]


async def test_a_code_arrives_by_smtp_as_text_and_html_and_not_in_the_subject(database: str, tmp_path: Path) -> None:
    async with (
        smtp_elsewhere() as post,
        server_with(
            database, tmp_path, smtp_url=f"smtp://127.0.0.1:{post.port}", mail_from="codes@portal.test"
        ) as live,
    ):
        tenant = await reachable(live, name='Fish & <b>Chips</b> "Ltd"')
        await generate(live, tenant.slug)
        assert await deliver_all(live) == ["sent"]

        (message,) = post.arrived
        text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
        assert text is not None
        assert html is not None
        code = code_in(text.get_content())
        assert code in html.get_content()
        assert code not in message["Subject"]
        assert (message["To"], post.recipients) == ("it@example.com", ["it@example.com"])
        assert message["From"] == "Addon portal <codes@portal.test>"
        assert "<b>" not in html.get_content()
        assert "Fish &amp; &lt;b&gt;Chips" in html.get_content()
        assert (await verify(live, tenant.slug, code)).status_code == 200
        assert not (tmp_path / "mailbox").exists()


async def test_a_server_that_wants_a_password_gets_it(database: str, tmp_path: Path) -> None:
    async with smtp_elsewhere(with_password=True) as post:
        for password, state in (("right", "sent"), ("wrong", "failed")):
            url = f"smtp://us%40er:{password}@127.0.0.1:{post.port}"
            async with server_with(database, tmp_path, smtp_url=url) as live:
                await requested(live, (await reachable(live)).slug)
                assert await deliver_all(live) == [state]

        # It tries every way to sign in that the server knows.
        assert set(post.signed_in) == {(b"us@er", b"right"), (b"us@er", b"wrong")}
        assert len(post.arrived) == 1


async def test_a_password_goes_to_another_machine_only_encrypted() -> None:
    assert smtp_server("smtp://user:secret@mail.example.com").start_tls is True
    assert smtp_server("smtp://user:secret@mail.example.com?starttls=optional").start_tls is None
    assert smtp_server("smtp://mail.example.com:25").start_tls is None
    assert smtp_server("smtp://mail.example.com:25?starttls=required").start_tls is True
    assert smtp_server("smtp://user:secret@localhost").start_tls is None
    assert (smtp_server("smtps://mail.example.com").use_tls, smtp_server("smtps://mail.example.com").port) == (
        True,
        465,
    )
    for wrong in ("http://mail.example.com", "smtp://", "smtp://mail.example.com?starttls=maybe"):
        with pytest.raises(ValueError, match=r"must|may"):
            smtp_server(wrong)


async def test_a_server_without_starttls_is_refused_where_it_is_required(database: str, tmp_path: Path) -> None:
    async with (
        smtp_elsewhere() as post,
        server_with(database, tmp_path, smtp_url=f"smtp://127.0.0.1:{post.port}?starttls=required") as live,
    ):
        await requested(live, (await reachable(live)).slug)

        assert await deliver_all(live) == ["failed"]
        assert post.arrived == []


async def test_a_server_that_says_not_now_is_tried_again(database: str, tmp_path: Path) -> None:
    async with (
        smtp_elsewhere() as post,
        server_with(database, tmp_path, smtp_url=f"smtp://127.0.0.1:{post.port}") as live,
    ):
        tenant = await reachable(live)
        delivery = await requested(live, tenant.slug)
        post.refusals = ["451 greylisted"]

        with pytest.raises(DeliveryDeferredError, match="451 greylisted"):
            await deliver(live.ctx, delivery)
        assert await deliver(live.ctx, delivery) == {"state": "sent"}
        assert await deliver(live.ctx, delivery) == {"state": "ended before"}

        (message,) = post.arrived
        body = message.get_body(("plain",))
        assert body is not None
        assert (await verify(live, tenant.slug, code_in(body.get_content()))).status_code == 200
        assert await ended(live) == [("sent", None, 2)]


async def test_a_server_that_is_away_is_given_up_in_the_end_and_operators_are_told(
    database: str, tmp_path: Path
) -> None:
    async with server_with(database, tmp_path, smtp_url=f"smtp://127.0.0.1:{free_port()}") as live:
        tenant = await reachable(live)
        delivery = await requested(live, tenant.slug)

        for _ in range(MAX_ATTEMPTS - 1):
            with pytest.raises(DeliveryDeferredError):
                await deliver(live.ctx, delivery)
        assert await deliver(live.ctx, delivery) == {"state": "failed"}

        ((state, reason, attempts),) = await ended(live)
        assert (state, attempts) == ("failed", MAX_ATTEMPTS)
        event = (await told(live, tenant.id))[-1]
        assert (event.event_type, event.severity) == ("delivery_failed", "major")
        assert orjson.loads(event.metadata)["reason"] == reason


async def test_a_refusal_for_good_is_not_repeated_and_may_not_quote_the_code(database: str, tmp_path: Path) -> None:
    async with (
        smtp_elsewhere() as post,
        server_with(database, tmp_path, smtp_url=f"smtp://127.0.0.1:{post.port}") as live,
    ):
        tenant = await reachable(live)
        seen: list[str] = []

        async def quote(server: Any, session: Any, envelope: Any) -> str:
            import re

            seen.extend(re.findall(rb"code is (\d{6})", envelope.content))
            return f"554 no spam such as {seen[0].decode()}"

        post.handle_DATA = quote
        await requested(live, tenant.slug)
        assert await deliver_all(live) == ["failed"]

        ((state, reason, attempts),) = await ended(live)
        assert (state, attempts) == ("failed", 1)
        assert reason == "The message was not accepted: 554 no spam such as (code)."
        assert seen


async def test_production_without_a_mail_server_says_so(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path, environment="production", secret_key=STRONG) as live:
        tenant = await reachable(live)
        answer = await generate(live, tenant.slug)
        await deliver_all(live)

        assert answer.status_code == 200
        assert await ended(live) == [("failed", "No mail leaves this installation.", 1)]
        assert [event.event_type for event in await told(live, tenant.id)] == ["tenant_created", "delivery_failed"]
        assert (await live.http.get("/dev/mailbox")).status_code == 404


async def test_nobody_is_told_of_a_slug_that_nobody_has(sanic_client: LiveServer) -> None:
    await generate(sanic_client, "no-such-tenant")

    assert await deliver_all(sanic_client) == ["unreachable"]
    assert await told(sanic_client) == []


async def test_a_tenant_without_an_address_is_unreachable_and_operators_are_told(sanic_client: LiveServer) -> None:
    tenant = await reachable(sanic_client, email=None)
    await generate(sanic_client, tenant.slug)

    assert await deliver_all(sanic_client) == ["unreachable"]
    assert (await told(sanic_client, tenant.id))[-1].event_type == "delivery_failed"
    assert await rows(sanic_client, select(otp_challenges)) == []


async def test_a_code_that_could_not_be_sent_in_time_is_not_sent(sanic_client: LiveServer, clock: MovableClock) -> None:
    await generate(sanic_client, (await reachable(sanic_client)).slug)
    clock.move(minutes=11)

    assert await deliver_all(sanic_client) == ["failed"]
    assert await mailed(sanic_client) == []


async def test_a_welcome_says_how_to_sign_in(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await reachable(sanic_client)
    await requested(sanic_client, tenant.slug, "welcome")
    clock.move(hours=2)

    assert await deliver_all(sanic_client) == ["sent"]
    (message,) = await mailed(sanic_client)
    assert (message.to, message.subject) == ("it@example.com", "Welcome: how to sign in")
    assert tenant.slug in message.text
    assert await rows(sanic_client, select(otp_challenges)) == []


async def test_what_waits_too_long_is_found_and_what_is_fresh_is_not(
    sanic_client: LiveServer, clock: MovableClock
) -> None:
    old = await requested(sanic_client, "old-one")
    clock.move(seconds=30)
    await requested(sanic_client, "fresh-one")

    assert await deliveries_waiting(sanic_client.ctx) == [old]


async def test_the_mailbox_shows_the_newest_first_to_this_machine_only(sanic_client: LiveServer) -> None:
    first, second = await reachable(sanic_client, "one@example.com"), await reachable(sanic_client, "two@example.com")
    for tenant in (first, second):
        await generate(sanic_client, tenant.slug)
        await deliver_all(sanic_client)

    answer = await sanic_client.http.get("/dev/mailbox", headers={"accept": "application/json"})
    page = await sanic_client.http.get("/dev/mailbox", headers={"accept": "text/html"})

    messages = answer.json()["messages"]
    assert [message["to"] for message in messages] == ["two@example.com", "one@example.com"]
    assert all(message.keys() == {"to", "subject", "text", "at"} for message in messages)
    assert page.headers["content-type"].startswith("text/html")
    assert code_in(messages[0]["text"]) in page.text
    assert page.headers["cache-control"] == "no-store"
    for headers in ({"host": "attacker.example:8080"}, {"host": "[1::2::3]"}, {"x-forwarded-for": "127.0.0.1"}):
        elsewhere = await sanic_client.http.get("/dev/mailbox", headers=headers)
        assert (elsewhere.status_code, elsewhere.json()["errorCode"]) == (404, "not_found")


async def test_the_mailbox_is_not_shown_to_who_comes_through_a_proxy(database: str, tmp_path: Path) -> None:
    async with server_with(database, tmp_path, proxies_count=1) as live:
        statuses = [
            (await live.http.get("/dev/mailbox", headers=headers)).status_code
            for headers in ({"x-forwarded-for": "203.0.113.9"}, {"x-forwarded-for": "127.0.0.1"}, {})
        ]

    assert statuses == [404, 200, 200]


async def test_the_mailbox_belongs_to_its_owner(sanic_client: LiveServer) -> None:
    await generate(sanic_client, (await reachable(sanic_client)).slug)
    await deliver_all(sanic_client)

    folder = sanic_client.runtime.settings.state_dir / "mailbox"
    modes = await asyncio.to_thread(lambda: [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())])

    assert modes == [0o700, 0o600]


@pytest.fixture
async def provider() -> AsyncIterator[MessageProvider]:
    async with message_provider() as provider:
        yield provider


async def by_phone(live: LiveServer, method: str, email: str | None = None) -> str:
    tenant = await reachable(live, email)
    wish = {"phone_number": "+49123456", "otp_delivery_method": method}
    await change(live, update(tenants).where(tenants.c.id == tenant.id).values(**wish))
    return tenant.slug


@pytest.mark.parametrize(("method", "channel"), [("sms", "sms"), ("whatsapp", "whatsapp"), ("both", "sms")])
async def test_a_code_arrives_by_phone(
    database: str, tmp_path: Path, provider: MessageProvider, method: str, channel: str
) -> None:
    more = {"message_provider_url": provider.url, "message_sender": "Portal"}
    async with server_with(database, tmp_path, **more) as live:
        slug = await by_phone(live, method, "it@example.com")
        await requested(live, slug)
        assert await deliver_all(live) == ["sent"]

        (message,) = provider.told
        assert (message["channel"], message["to"], message["sender"]) == (channel, "+49123456", "Portal")
        assert [code_in(mail.text) for mail in await mailed(live)] == [code_in(message["text"])] * (method == "both")
        assert (await verify(live, slug, code_in(message["text"]))).status_code == 200


async def test_both_ways_succeed_if_one_does(database: str, tmp_path: Path, provider: MessageProvider) -> None:
    async with server_with(database, tmp_path, message_provider_url=provider.url) as live:
        provider.answers = [400]
        await requested(live, await by_phone(live, "both", "it@example.com"))

        assert await deliver_all(live) == ["sent"]
        assert (len(provider.told), len(await mailed(live))) == (1, 1)


async def test_a_provider_that_is_busy_is_tried_again_and_one_that_refuses_is_not(
    database: str, tmp_path: Path, provider: MessageProvider
) -> None:
    async with server_with(database, tmp_path, message_provider_url=provider.url) as live:
        delivery = await requested(live, await by_phone(live, "sms"))
        provider.answers = [503, 429, 403]

        for status in (503, 429):
            with pytest.raises(DeliveryDeferredError, match=str(status)):
                await deliver(live.ctx, delivery)
        assert await deliver(live.ctx, delivery) == {"state": "failed"}
        assert await ended(live) == [("failed", "The message was not accepted: the provider answered 403.", 3)]


async def test_without_a_provider_phones_are_not_reached_and_operators_read_why(sanic_client: LiveServer) -> None:
    slug = await by_phone(sanic_client, "sms")
    await requested(sanic_client, slug)

    assert await deliver_all(sanic_client) == ["failed"]
    assert (await ended(sanic_client))[0][1] == "No SMS or WhatsApp message leaves this installation."


async def test_a_delivery_that_keeps_killing_its_worker_is_given_up(sanic_client: LiveServer) -> None:
    row = {"kind": "one_time_password", "tenant_slug": (await reachable(sanic_client)).slug, "attempts": MAX_ATTEMPTS}
    await change(sanic_client, insert(deliveries).values(**row, created_at=sanic_client.ctx.now()))

    assert await deliver_all(sanic_client) == ["failed"]
    assert await mailed(sanic_client) == []
