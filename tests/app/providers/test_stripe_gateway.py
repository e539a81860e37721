"""The gateway to Stripe: each call over HTTP to the simulator, and what becomes of failures."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import pytest
from support.live import LiveServer
from support.stripe import PAYS, PLACES, elsewhere

from app.errors import MalformedBodyError, PaymentsRefusedError, PaymentsUnavailableError, WebhookSignatureError
from app.providers.payments import BillingGateway, Price
from app.providers.stripe import StripeGateway, verified_event
from app.providers.stripe_simulator import checkout
from app.providers.stripe_simulator.cards import CARDS

FAILED = (503, {"error": {"type": "api_error", "message": "Not now."}})
CUSTOMER = (200, {"id": "cus_1", "object": "customer"})


def gateway(base: str, key: str = "sk_test_1", *, seconds: float = 20, retries: int = 2) -> StripeGateway:
    return StripeGateway(key, api_base=base, timeout_seconds=seconds, retries=retries)


async def made(asked: BillingGateway) -> str:
    return await asked.create_customer(tenant_id=7, slug="acme", name="Acme", email=None, key="customer:7")


async def test_each_call_is_answered_over_http(sanic_client: LiveServer) -> None:
    simulator = sanic_client.runtime.simulator
    assert simulator is not None
    asked = gateway(f"{sanic_client.base_url}/dev/stripe", simulator.api_key)

    customer = await made(asked)
    session = await asked.open_subscription(
        customer_id=customer, price_id="price_starter_monthly", metadata={"tenant_id": "7"}, key="checkout:1", **PLACES
    )
    again = await asked.open_subscription(
        customer_id=customer, price_id="price_starter_monthly", metadata={"tenant_id": "7"}, key="checkout:1", **PLACES
    )
    await simulator.run(lambda books: checkout.pay_session(books, session.id, CARDS[PAYS]))
    purchase = await asked.open_purchase(
        customer_id=customer, amount=500, currency="usd", description="1 code", metadata={}, key="checkout:2", **PLACES
    )
    expired = await asked.expire_session(session_id=purchase.id, key="expire:2")
    subscription = (await asked.customer_objects("subscription", customer))[0]
    change: dict[str, Any] = {
        "customer_id": customer,
        "subscription_id": subscription["id"],
        "item_id": subscription["items"]["data"][0]["id"],
        "price_id": "price_pro_monthly",
    }
    preview = await asked.preview(**change)
    confirm = await asked.open_plan_change(**change, return_url="http://shop.test", key="change:1")
    portal = await asked.open_portal(customer_id=customer, return_url="http://shop.test", key="portal:1")
    marked = await asked.set_cancel_at_period_end(subscription_id=subscription["id"], cancel=True, key="end:1")
    ended = await asked.cancel_now(subscription_id=subscription["id"], key="cancel:1")

    assert session == again
    assert session.url.startswith("http://127.0.0.1:8080/dev/stripe/checkout/cs_test_")
    assert (expired["status"], marked["cancel_at_period_end"], ended["status"]) == ("expired", True, "canceled")
    assert (preview.amount_due, preview.currency, preview.next_amount) == (7_000, "usd", 9_900)
    assert confirm.url != portal.url
    for kind in ("subscription", "invoice", "checkout.session", "customer", "payment_method", "charge"):
        found = await asked.customer_objects(kind, customer)
        assert {each["object"] for each in found} == {kind}
        assert await asked.fetch(kind, found[0]["id"]) is not None
        assert await asked.fetch(kind, "nothing_1") is None
    paid = await asked.fetch("invoice", (await asked.customer_objects("invoice", customer))[0]["id"])
    assert paid is not None
    charge = (await asked.customer_objects("charge", customer))[0]
    assert [each["payment"]["payment_intent"] for each in paid["payments"]["data"]] == [charge["payment_intent"]]
    assert [each["metadata"] for each in await asked.customers()] == [{"tenant_id": "7", "tenant_slug": "acme"}]
    assert await asked.price("price_pro_monthly") == Price("price_pro_monthly", 9_900, "usd", "month")
    assert await asked.price("price_missing") is None
    assert await asked.check() == "Simulated account"
    assert await asked.offers_plan_changes()
    await asked.close()
    stranger = gateway(f"{sanic_client.base_url}/dev/stripe", "sk_test_wrong")
    with pytest.raises(PaymentsRefusedError, match="key is not accepted"):
        await stranger.check()
    await stranger.close()


async def test_a_list_has_all_pages(sanic_client: LiveServer) -> None:
    asked = sanic_client.runtime.payments
    assert asked is not None
    for number in range(103):
        await asked.create_customer(tenant_id=number, slug=f"t{number}", name="T", email=None, key=f"customer:{number}")

    found = await asked.customers()

    assert [each["metadata"]["tenant_id"] for each in found] == [str(number) for number in reversed(range(103))]


async def test_what_fails_for_a_moment_is_sent_again_with_the_same_key() -> None:
    async with elsewhere(FAILED, FAILED, CUSTOMER) as there:
        asked = gateway(there.base)

        assert await made(asked) == "cus_1"

        await asked.close()
    assert [head["idempotency-key"] for head in there.heads] == ["customer:7"] * 3
    assert {head["stripe-version"] for head in there.heads} == {"2026-10-28.endive"}
    assert "x-stripe-client-telemetry" not in there.heads[-1]


@pytest.mark.parametrize(
    ("answer", "error", "attempts"),
    [
        (FAILED, PaymentsUnavailableError, 2),
        ((429, {"error": {"message": "Slower."}}), PaymentsUnavailableError, 1),
        ((409, {"error": {"code": "lock_timeout", "message": "Locked."}}), PaymentsUnavailableError, 2),
        ((401, {"error": {"message": "Invalid API Key: sk_test_****"}}), PaymentsRefusedError, 1),
        ((400, {"error": {"type": "invalid_request_error", "message": "No such price."}}), PaymentsRefusedError, 1),
        ((402, {"error": {"type": "card_error", "message": "It was declined."}}), PaymentsRefusedError, 1),
        ((400, {"error": {"type": "idempotency_error", "message": "Other parameters."}}), PaymentsRefusedError, 1),
        ((0, {}), PaymentsUnavailableError, 2),
    ],
    ids=["503", "429", "409", "401", "400", "402", "idempotency", "silence"],
)
async def test_a_failure_is_told_in_our_words(answer: tuple[int, Any], error: type[Exception], attempts: int) -> None:
    async with elsewhere(answer) as there:
        # Time enough for a second attempt, however soon the call is given up.
        asked = gateway(there.base, seconds=4 if answer[0] == 0 else 20, retries=1)

        with pytest.raises(error) as told:
            await made(asked)

        await asked.close()
    assert len(there.heads) == attempts
    assert "sk_test" not in str(told.value)
    if error is PaymentsUnavailableError:
        assert told.value.values == {"retry_after": 5}


async def test_a_call_ends_in_time_with_all_its_attempts() -> None:
    """The library waits for half a second at least before it tries again."""
    async with elsewhere(FAILED) as there:
        asked = gateway(there.base, seconds=0.45, retries=1)

        with pytest.raises(PaymentsUnavailableError):
            await made(asked)

        await asked.close()
    assert len(there.heads) == 1


async def test_nobody_there_is_unavailable() -> None:
    asked = gateway("http://127.0.0.1:9", retries=0)

    with pytest.raises(PaymentsUnavailableError):
        await made(asked)

    await asked.close()


def signed(body: bytes, secret: str, at: float = 0) -> str:
    moment = int(time.time() + at)
    mac = hmac.new(secret.encode(), b"%d.%b" % (moment, body), hashlib.sha256).hexdigest()
    return f"t={moment},v1={mac}"


EVENT = b'{"id": "evt_1", "type": "invoice.paid"}'


async def test_an_event_is_verified_with_any_of_the_secrets() -> None:
    event = {"id": "evt_1", "type": "invoice.paid"}

    assert await verified_event(EVENT, signed(EVENT, "old"), ["new", "old"]) == event
    assert await verified_event(EVENT, signed(EVENT, "new", -290), ["new", "old"]) == event


@pytest.mark.parametrize("header", [None, "", "nonsense", "t=1,v1=", "t=x,v1=00"])
async def test_what_is_not_signed_is_refused(header: str | None) -> None:
    with pytest.raises(WebhookSignatureError):
        await verified_event(EVENT, header, ["secret"])


@pytest.mark.parametrize("how", ["another secret", "long ago", "another body", "no text"])
async def test_what_is_not_signed_now_with_a_secret_is_refused(how: str) -> None:
    body, header = {
        "another secret": (EVENT, signed(EVENT, "other")),
        "long ago": (EVENT, signed(EVENT, "secret", -310)),
        "another body": (EVENT + b" ", signed(EVENT, "secret")),
        "no text": (b"\xff\xfe", signed(b"\xff\xfe", "secret")),
    }[how]

    with pytest.raises(WebhookSignatureError):
        await verified_event(body, header, ["secret"])


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'"evt_1"', b"{}", b'{"id": 1, "type": "x"}'])
async def test_what_is_signed_and_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        await verified_event(body, signed(body, "secret"), ["secret"])


async def test_without_a_secret_nothing_is_verified() -> None:
    with pytest.raises(WebhookSignatureError):
        await verified_event(EVENT, signed(EVENT, ""), [])
