"""A shop at Stripe's simulator, and a server that answers what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from support.clocks import StandingClock
from support.databases import settings_for

from app.providers.payments import BillingGateway, Session
from app.providers.stripe import gateway_for
from app.providers.stripe_simulator import checkout, tables
from app.providers.stripe_simulator.books import Books
from app.providers.stripe_simulator.cards import CARDS
from app.providers.stripe_simulator.parameters import parse_parameters
from app.providers.stripe_simulator.simulator import Sent, StripeSimulator

PAYS, FAILS_LATER, DECLINED, DISPUTED = "4242424242424242", "4000000000000341", "4000000000000002", "4000000000000259"
DAY = 86_400
# Instead of the status of an answer.
SILENT, HANGS_UP = 0, -1
SECRET = "whsec_of_tests"
PLACES = {
    "success_url": "http://shop.test/billing?success=true",
    "cancel_url": "http://shop.test/billing?canceled=true",
}


@dataclass
class Shop:
    """The gateway to a simulator whose clock stands still, and what a person does there."""

    simulator: StripeSimulator
    gateway: BillingGateway

    async def customer(self, tenant_id: int = 1) -> str:
        """A new customer's id."""
        return await self.gateway.create_customer(
            tenant_id=tenant_id, slug=f"t{tenant_id}", name="Acme", email="a@acme.test", key=f"customer:{tenant_id}"
        )

    async def subscribe(self, customer: str, *, price: str = "price_pro_monthly", card: str = PAYS) -> dict[str, Any]:
        """The subscription that a customer has paid for in a checkout session."""
        session = await self.gateway.open_subscription(
            customer_id=customer, price_id=price, metadata={"tenant_id": "1"}, key=f"checkout:{price}", **PLACES
        )
        assert await self.pay(session, card) is None
        return (await self.of(customer))[0]

    async def purchase(self, customer: str, card: str = PAYS, *, amount: int = 500, key: str = "codes") -> Session:
        """A session in which a customer has paid once, unless the card was declined."""
        session = await self.gateway.open_purchase(
            customer_id=customer,
            amount=amount,
            currency="usd",
            description="1 code",
            metadata={"type": "activation_codes"},
            key=key,
            **PLACES,
        )
        await self.pay(session, card)
        return session

    async def pay(self, session: Session, card: str) -> str | None:
        """Pay on the page of a session; what the page says where the card is declined."""
        return await self.simulator.run(partial(checkout.pay_session, session_id=session.id, card=CARDS[card]))

    async def of(self, customer: str, kind: Any = "subscription") -> list[dict[str, Any]]:
        """What a customer has, newest first."""
        return [dict(each) for each in await self.gateway.customer_objects(kind, customer)]

    async def ask(self, method: str, path: str, form: str = "", key: str | None = None) -> dict[str, Any]:
        """Ask the API itself."""
        answer = await self.simulator.answer(Sent(method, path, form, key), self.simulator.api_key)
        return json.loads(answer.body)

    async def do(self, work: Callable[..., Any], *arguments: Any, form: str = "") -> Any:
        """Do what a page does."""
        return await self.simulator.run(lambda books: work(books, parse_parameters(form), *arguments))

    async def events(self) -> list[dict[str, Any]]:
        """All events, in the order in which they happened."""
        return await self.simulator.run(_events)

    async def types_since(self, number: int) -> list[str]:
        """The types of the events after so many."""
        return [event["type"] for event in (await self.events())[number:]]


def _events(books: Books) -> list[dict[str, Any]]:
    rows = books.connection.execute(tables.events.select().order_by(tables.events.c.sequence))
    return [json.loads(row.body) for row in rows.all()]


@contextlib.asynccontextmanager
async def shop_in(folder: Path) -> AsyncIterator[Shop]:
    """A shop whose simulator keeps its state in this folder; nobody receives its events."""
    settings = settings_for("sqlite+aiosqlite:////nowhere/portal.db", folder)
    simulator = StripeSimulator(settings, StandingClock(), api_key="sk_test_tests", webhook_secret=SECRET)
    simulator.deliveries.address = "http://127.0.0.1:9/nowhere"
    gateway = gateway_for(settings, simulator)
    assert gateway is not None
    try:
        yield Shop(simulator, gateway)
    finally:
        await gateway.close()
        await simulator.close()


@dataclass
class Elsewhere:
    """A server that answers one request after another as a test says, and the last answer again and again."""

    answers: list[tuple[int, Any]]
    base: str = ""
    heads: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                head = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:]) if name}
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(int(head.get("content-length", 0))))
                status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if status == HANGS_UP:
                    break
                if status == SILENT:
                    await asyncio.sleep(60)
                body = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def elsewhere(*answers: tuple[int, Any]) -> AsyncIterator[Elsewhere]:
    """A server that gives these answers; with the status SILENT it gives none, and with HANGS_UP it hangs up."""
    them = Elsewhere(list(answers))
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        await them.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    them.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield them
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
