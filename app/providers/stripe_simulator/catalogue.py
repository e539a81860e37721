"""Customers, their payment methods, products and prices."""

from __future__ import annotations

from app.providers.stripe_simulator.books import Books, Object, new_id
from app.providers.stripe_simulator.cards import BY_TOKEN, CARDS, Card
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.refusals import missing, wrong

CURRENCY = "usd"
# What a price costs a month that is made because somebody names it: by a word in its id, in cents.
AMOUNTS = {"starter": 2_900, "pro": 9_900, "enterprise": 49_900}
OTHER_AMOUNT = 4_900
# A price whose id begins so is never made.
NO_PRICE = "price_missing"
INTERVALS = ("day", "week", "month", "year")
CARD_YEARS = 4
SECONDS_A_YEAR = 31_557_600


def create_customer(books: Books, asked: Parameters) -> Object:
    """A new customer."""
    return books.add(
        "customer",
        {
            "id": new_id("cus"),
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": books.now,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": asked.optional("description"),
            "email": asked.optional("email"),
            "invoice_prefix": new_id("")[-8:].upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": False,
            "metadata": asked.metadata(),
            "name": asked.optional("name"),
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        },
        event="customer.created",
    )


def update_customer(books: Books, asked: Parameters, customer_id: str) -> Object:
    """Change a customer's name, address, metadata or default payment method."""
    customer = living_customer(books, customer_id)
    changes: Object = {name: asked.optional(name) for name in ("name", "email", "description") if name in asked}
    if "metadata" in asked:
        merged = {**customer["metadata"], **asked.metadata()}
        changes["metadata"] = {name: value for name, value in merged.items() if value}
    if "default_payment_method" in (chosen := asked.nested("invoice_settings")):
        method = chosen.optional("default_payment_method")
        if method is not None and books.get("payment_method", method)["customer"] != customer_id:
            raise wrong("invoice_settings[default_payment_method]", "The payment method belongs to somebody else.")
        changes["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": method}
    books.change(customer, "customer.updated", **changes)
    return customer


def delete_customer(books: Books, asked: Parameters, customer_id: str) -> Object:
    """Delete a customer, once its subscriptions have been cancelled; of it remains that it is deleted."""
    customer = living_customer(books, customer_id)
    books.tell("customer.deleted", customer)
    for name in [name for name in customer if name not in {"id", "object"}]:
        del customer[name]
    customer["deleted"] = True
    books.save(customer)
    return customer


def living_customer(books: Books, customer_id: str) -> Object:
    """A customer that was not deleted."""
    customer = books.get("customer", customer_id)
    if customer.get("deleted"):
        raise missing("customer", customer_id)
    return customer


def attach_card(books: Books, customer: Object, card: Card) -> Object:
    """Give a customer a payment method with this card."""
    method = books.add(
        "payment_method",
        {
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing_details(customer),
            "card": {
                "brand": card.brand,
                "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
                "country": "US",
                "display_brand": card.brand,
                "exp_month": 12,
                "exp_year": 1970 + books.now // SECONDS_A_YEAR + CARD_YEARS,
                "fingerprint": f"simulated{card.last4}",
                "funding": "credit",
                "generated_from": None,
                "last4": card.last4,
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "created": books.now,
            "customer": customer["id"],
            "livemode": False,
            "metadata": {},
            "type": "card",
        },
        number=card.number,
    )
    books.tell("payment_method.attached", method)
    return method


def attach(books: Books, asked: Parameters, token: str) -> Object:
    """Attach one of Stripe's payment methods for tests, for instance pm_card_visa."""
    if (card := BY_TOKEN.get(token)) is None:
        raise missing("payment_method", token)
    return attach_card(books, living_customer(books, asked.needed("customer")), card)


def detach(books: Books, asked: Parameters, method_id: str) -> Object:
    """Take a payment method from its customer, for whom it is nowhere the default any more."""
    method = books.get("payment_method", method_id)
    customer = books.get("customer", method["customer"])
    forget_default(books, customer, method_id)
    books.change(method, None, customer=None)
    books.tell("payment_method.detached", method, {"customer": customer["id"]})
    return method


def forget_default(books: Books, customer: Object, method_id: str) -> None:
    """Let a payment method be nowhere the default."""
    if customer["invoice_settings"]["default_payment_method"] == method_id:
        settings = {**customer["invoice_settings"], "default_payment_method": None}
        books.change(customer, "customer.updated", invoice_settings=settings)
    for subscription in books.listed("subscription", customer["id"]):
        if subscription["default_payment_method"] == method_id:
            books.change(subscription, "customer.subscription.updated", default_payment_method=None)


def card_of(books: Books, method: Object) -> Card:
    """Which card for tests a payment method is."""
    return CARDS[books.notes(method)["number"]]


def billing_details(customer: Object) -> Object:
    """Who pays, as payment methods and charges say it."""
    nowhere = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    return {
        "address": nowhere,
        "email": customer.get("email"),
        "name": customer.get("name"),
        "phone": None,
        "tax_id": None,
    }


def find_price(books: Books, price_id: str) -> Object:
    """A price; one that nobody has made yet is made now, for a month, so that plans have one without any setting up."""
    if (price := books.find("price", price_id)) is not None:
        return price
    if price_id.startswith(NO_PRICE):
        raise missing("price", price_id)
    word = next((word for word in AMOUNTS if word in price_id.lower().replace("-", "_").split("_")), None)
    name = (word or price_id.removeprefix("price_").replace("_", " ")).capitalize()
    product = make_product(books, name, {})
    amount = AMOUNTS.get(word or "", OTHER_AMOUNT)
    return make_price(books, price_id, product, amount, CURRENCY, "month")


def make_product(books: Books, name: str, metadata: dict[str, str]) -> Object:
    """A new product."""
    return books.add(
        "product",
        {
            "id": new_id("prod"),
            "object": "product",
            "active": True,
            "created": books.now,
            "default_price": None,
            "description": None,
            "images": [],
            "livemode": False,
            "marketing_features": [],
            "metadata": metadata,
            "name": name,
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": None,
            "updated": books.now,
            "url": None,
        },
        event="product.created",
    )


def make_price(
    books: Books, price_id: str, product: Object, amount: int, currency: str, interval: str | None
) -> Object:
    """A new price: for each interval, or for once."""
    recurring = {
        "interval": interval,
        "interval_count": 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
    return books.add(
        "price",
        {
            "id": price_id,
            "object": "price",
            "active": True,
            "billing_scheme": "per_unit",
            "created": books.now,
            "currency": currency,
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": product["id"],
            "recurring": recurring if interval else None,
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if interval else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        },
        event="price.created",
    )


def create_product(books: Books, asked: Parameters) -> Object:
    """A new product, as somebody asks for it."""
    return make_product(books, asked.needed("name"), asked.metadata())


def create_price(books: Books, asked: Parameters, *, price_id: str | None = None) -> Object:
    """A new price, as somebody asks for it."""
    if product_id := asked.text("product"):
        product = books.get("product", product_id)
    else:
        product = make_product(books, asked.nested("product_data").needed("name"), {})
    interval = asked.nested("recurring").optional("interval")
    if interval is not None and interval not in INTERVALS:
        raise wrong("recurring[interval]", f"Invalid interval: must be one of {', '.join(INTERVALS)}")
    amount = asked.number("unit_amount", -1)
    if amount < 0:
        raise wrong("unit_amount", "Missing required param: unit_amount.")
    return make_price(books, price_id or new_id("price"), product, amount, asked.needed("currency").lower(), interval)
