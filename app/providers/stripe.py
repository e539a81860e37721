"""The gateway to Stripe: what is asked of it, and what it sends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from app.errors import MalformedBodyError, WebhookSignatureError
from app.providers.payments import BillingGateway, Kind, Price, Proration, ProrationLine, Session, StripeObject
from app.providers.stripe_breaker import HOLD_SECONDS, Breaker
from app.providers.stripe_library import Opened, answering, is_signed, open_client, try_once, unless_missing
from app.settings import Settings

if TYPE_CHECKING:
    import stripe
    from stripe import ListObject

    from app.providers.stripe_simulator.simulator import StripeSimulator

API_BASE = "https://api.stripe.com"
# No such host exists: requests to it stay in the process.
SIMULATED_BASE = "http://stripe.invalid"
PAGE = 100


class StripeGateway:
    """Stripe over HTTP, or its simulator in this process, to which no network leads."""

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str = "",
        timeout_seconds: float,
        retries: int,
        hold_seconds: float = HOLD_SECONDS,
        simulator: StripeSimulator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_key = api_key
        self._api_base = api_base or (API_BASE if simulator is None else SIMULATED_BASE)
        self._timeout_seconds = timeout_seconds
        self._attempt_seconds = timeout_seconds / (retries + 1)
        self._retries = retries
        self._simulator = simulator
        self._opened: Opened | None = None
        self._opening = asyncio.Lock()
        self._breaker = Breaker(self._try, hold_seconds=hold_seconds, clock=clock)

    async def ready(self) -> None:
        """Return if Stripe is asked at all, which it is not for a while once it has been silent."""
        await self._breaker.admit()

    async def create_customer(self, *, tenant_id: int, slug: str, name: str, email: str | None, key: str) -> str:
        """The id of a new customer, with the tenant's id and slug as its metadata."""
        params: stripe.params.CustomerCreateParams = {
            "name": name,
            "metadata": {"tenant_id": str(tenant_id), "tenant_slug": slug},
        }
        if email is not None:
            params["email"] = email
        async with self._asking() as client:
            return (await client.v1.customers.create_async(params, _once(key))).id

    async def open_subscription(
        self,
        *,
        customer_id: str,
        price_id: str,
        metadata: Mapping[str, str],
        success_url: str,
        cancel_url: str,
        key: str,
    ) -> Session:
        """A checkout session for a subscription; the metadata are also those of the subscription."""
        return await self._open_session(
            {
                "mode": "subscription",
                "customer": customer_id,
                "line_items": [{"price": price_id, "quantity": 1}],
                "payment_method_types": ["card"],
                "metadata": dict(metadata),
                "subscription_data": {"metadata": dict(metadata)},
                "success_url": success_url,
                "cancel_url": cancel_url,
            },
            key,
        )

    async def open_purchase(
        self,
        *,
        customer_id: str,
        amount: int,
        currency: str,
        description: str,
        metadata: Mapping[str, str],
        success_url: str,
        cancel_url: str,
        key: str,
    ) -> Session:
        """A checkout session for one payment of ``amount`` minor units; the metadata are also the payment intent's."""
        price: Any = {"currency": currency, "unit_amount": amount, "product_data": {"name": description}}
        return await self._open_session(
            {
                "mode": "payment",
                "customer": customer_id,
                "line_items": [{"price_data": price, "quantity": 1}],
                "payment_method_types": ["card"],
                "metadata": dict(metadata),
                "payment_intent_data": {"metadata": dict(metadata), "description": description},
                "success_url": success_url,
                "cancel_url": cancel_url,
            },
            key,
        )

    async def open_plan_change(
        self, *, customer_id: str, subscription_id: str, item_id: str, price_id: str, return_url: str, key: str
    ) -> Session:
        """A session of Stripe's billing portal that shows a change of the living subscription, to be confirmed."""
        change: Any = {"subscription": subscription_id, "items": [{"id": item_id, "price": price_id, "quantity": 1}]}
        flow: Any = {
            "type": "subscription_update_confirm",
            "subscription_update_confirm": change,
            "after_completion": {"type": "redirect", "redirect": {"return_url": return_url}},
        }
        params: Any = {"customer": customer_id, "return_url": return_url, "flow_data": flow}
        async with self._asking() as client:
            session = await client.v1.billing_portal.sessions.create_async(params, _once(key))
            return Session(session.id, session.url, None)

    async def open_portal(self, *, customer_id: str, return_url: str, key: str) -> Session:
        """A session of Stripe's billing portal: cards, invoices, cancellation."""
        async with self._asking() as client:
            session = await client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}, _once(key)
            )
            return Session(session.id, session.url, None)

    async def preview(self, *, customer_id: str, subscription_id: str, item_id: str, price_id: str) -> Proration:
        """What a change of the living subscription to this price would cost."""
        change: Any = {"items": [{"id": item_id, "price": price_id}], "proration_behavior": "always_invoice"}
        async with self._asking() as client:
            invoice, price, subscription = await asyncio.gather(
                client.v1.invoices.create_preview_async(
                    {"customer": customer_id, "subscription": subscription_id, "subscription_details": change}
                ),
                client.v1.prices.retrieve_async(price_id),
                client.v1.subscriptions.retrieve_async(subscription_id),
            )
        ends = [item["current_period_end"] for item in subscription["items"]["data"] if item["id"] == item_id]
        return Proration(
            amount_due=invoice.amount_due,
            currency=invoice.currency,
            next_amount=price.unit_amount or 0,
            next_payment_at=datetime.fromtimestamp(ends[0], UTC) if ends else None,
            lines=[ProrationLine(line.description or "", line.amount) for line in invoice.lines.data],
        )

    async def set_cancel_at_period_end(self, *, subscription_id: str, cancel: bool, key: str) -> StripeObject:
        """End the subscription with its period, or go on after all; the subscription as it is then."""
        async with self._asking() as client:
            return _plain(
                await client.v1.subscriptions.update_async(
                    subscription_id, {"cancel_at_period_end": cancel}, _once(key)
                )
            )

    async def cancel_now(self, *, subscription_id: str, key: str) -> StripeObject:
        """End the subscription at once, without giving money back; the subscription as it is then."""
        async with self._asking() as client:
            return _plain(
                await client.v1.subscriptions.cancel_async(
                    subscription_id, {"invoice_now": False, "prorate": False}, _once(key)
                )
            )

    async def expire_session(self, *, session_id: str, key: str) -> StripeObject:
        """Close a checkout session that is open, so that nobody pays in it."""
        async with self._asking() as client:
            return _plain(await client.v1.checkout.sessions.expire_async(session_id, {}, _once(key)))

    async def fetch(self, kind: Kind, object_id: str) -> StripeObject | None:
        """An object as it is now; None when Stripe has none with this id."""
        async with self._asking() as client:
            retrieve: Mapping[Kind, Callable[[str], Awaitable[stripe.StripeObject]]] = {
                "subscription": client.v1.subscriptions.retrieve_async,
                # With its payments, which say which charge has paid it.
                "invoice": partial(client.v1.invoices.retrieve_async, params={"expand": ["payments"]}),
                "checkout.session": client.v1.checkout.sessions.retrieve_async,
                "customer": client.v1.customers.retrieve_async,
                "payment_method": client.v1.payment_methods.retrieve_async,
                "charge": client.v1.charges.retrieve_async,
            }
            found = await unless_missing(retrieve[kind](object_id))
            return None if found is None else _plain(found)

    async def customer_objects(self, kind: Kind, customer_id: str) -> Sequence[StripeObject]:
        """All objects of a kind that a customer has, ended subscriptions among them, newest first."""
        of_customer: Any = {"customer": customer_id, "limit": PAGE}
        async with self._asking(pages=True) as client:
            listed: ListObject[Any]
            match kind:
                case "subscription":
                    listed = await client.v1.subscriptions.list_async(of_customer | {"status": "all"})
                case "invoice":
                    listed = await client.v1.invoices.list_async(of_customer | {"expand": ["data.payments"]})
                case "checkout.session":
                    listed = await client.v1.checkout.sessions.list_async(of_customer)
                case "payment_method":
                    listed = await client.v1.customers.payment_methods.list_async(customer_id, {"limit": PAGE})
                case "charge":
                    listed = await client.v1.charges.list_async(of_customer)
                case "customer":
                    found = await unless_missing(client.v1.customers.retrieve_async(customer_id))
                    return [] if found is None else [_plain(found)]
            return [_plain(found) async for found in listed.auto_paging_iter()]

    async def customers(self) -> Sequence[StripeObject]:
        """All customers that have a tenant's id in their metadata."""
        async with self._asking(pages=True) as client:
            listed = await client.v1.customers.list_async({"limit": PAGE})
            return [_plain(found) async for found in listed.auto_paging_iter() if "tenant_id" in (found.metadata or {})]

    async def price(self, price_id: str) -> Price | None:
        """A price; None when Stripe has none with this id."""
        async with self._asking() as client:
            found = await unless_missing(client.v1.prices.retrieve_async(price_id))
        if found is None:
            return None
        interval = None if found.recurring is None else found.recurring.interval
        return Price(
            found.id,
            found.unit_amount or 0,
            found.currency,
            cast("Literal['day', 'week', 'month', 'year'] | None", interval),
        )

    async def offers_plan_changes(self) -> bool:
        """Whether the account's billing portal lets customers change their plan."""
        async with self._asking() as client:
            listed = await client.v1.billing_portal.configurations.list_async({"is_default": True, "limit": 1})
        update = [each.features.subscription_update for each in listed.data]
        return any(each.enabled and "price" in (each.default_allowed_updates or []) for each in update)

    async def check(self) -> str:
        """The name of the account, to show that the key is good."""
        async with self._asking() as client:
            account = await client.v1.accounts.retrieve_current_async()
        profile = account.business_profile
        return (profile.name if profile is not None else None) or account.id

    async def close(self) -> None:
        """Close the connections."""
        await self._breaker.close()
        if self._opened is not None:
            await self._opened.http.aclose()
            self._opened = None

    async def _open_session(self, params: Any, key: str) -> Session:
        async with self._asking() as client:
            session = await client.v1.checkout.sessions.create_async(params, _once(key))
        return Session(session.id, session.url or "", datetime.fromtimestamp(session.expires_at, UTC))

    @contextlib.asynccontextmanager
    async def _asking(self, *, pages: bool = False) -> AsyncIterator[stripe.StripeClient]:
        """The client, for calls that end in time; of ``pages`` there may be any number, so only each has a time-out."""
        await self._breaker.admit()
        client = await self._client()
        async with answering(None if pages else self._timeout_seconds, self._breaker):
            yield client

    async def _try(self) -> None:
        await try_once(await self._client(), self._attempt_seconds)

    async def _client(self) -> stripe.StripeClient:
        async with self._opening:
            if self._opened is None:
                # In a thread, because the library takes half a second, and certificates are read.
                self._opened = await asyncio.to_thread(
                    open_client,
                    self._api_key,
                    api_base=self._api_base,
                    attempt_seconds=self._attempt_seconds,
                    retries=self._retries,
                    simulator=self._simulator,
                    on_answer=self._breaker.answered,
                )
            return self._opened.client


def gateway_for(settings: Settings, simulator: StripeSimulator | None) -> BillingGateway | None:
    """Stripe with the key of these settings, or its simulator; None where there is neither."""
    key = settings.stripe_secret_key.get_secret_value() if simulator is None else simulator.api_key
    if not key:
        return None
    return StripeGateway(
        key,
        api_base=settings.stripe_api_base,
        timeout_seconds=settings.stripe_timeout_seconds,
        retries=settings.stripe_retries,
        simulator=None if settings.stripe_api_base else simulator,
    )


async def verified_event(payload: bytes, signature: str | None, secrets: Sequence[str]) -> dict[str, Any]:
    """The event that Stripe has sent: its body, if one of the secrets has signed it a short while ago.

    Raises WebhookSignatureError, and MalformedBodyError for what is signed and is no event.
    """
    if not await is_signed(payload, signature, secrets):
        raise WebhookSignatureError
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError as failure:
        raise MalformedBodyError(reason=str(failure)) from None
    if not isinstance(event, dict) or not isinstance(event.get("id"), str) or not isinstance(event.get("type"), str):
        raise MalformedBodyError(reason="it is no event of Stripe")
    return event


def _once(key: str) -> stripe.RequestOptions:
    """What makes a request one that is carried out once, however often it arrives."""
    return {"idempotency_key": key}


def _plain(found: stripe.StripeObject) -> StripeObject:
    return found.to_dict(for_json=True)
