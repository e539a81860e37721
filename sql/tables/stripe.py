"""What Stripe has told and what follows from it: customers, facts, checkouts, invoices and payment methods."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from sql.tables.columns import Id, Instant, choice, id_column, metadata, only_where

FACT_SOURCES = ("stripe", "operator", "gateway", "reconciliation", "portal")
CHECKOUT_STATES = ("opening", "open", "paid", "expired", "failed", "refunded")
INVOICE_STATES = ("pending", "paid", "failed")

# One row for each customer at Stripe of which anything is known. Who folds a customer's facts locks this row first.
stripe_customers = Table(
    "stripe_customers",
    metadata,
    id_column(),
    # Null until it is known whose customer this is: its facts wait.
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE")),
    Column("stripe_customer_id", String(255), nullable=False),
    # The hash of all that follows from the facts, as rehearsals compare it.
    Column("state_hash", LargeBinary(32)),
    Column("folded_at", Instant),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("stripe_customer_id", name="uq_stripe_customers_stripe_customer_id"),
    # A tenant has one customer at Stripe.
    Index("uq_stripe_customers_tenant_id", "tenant_id", unique=True, **only_where("tenant_id IS NOT NULL")),
)

# The log that a customer's state is folded from. A row of source ``stripe`` is an event, as it was delivered.
billing_facts = Table(
    "billing_facts",
    metadata,
    id_column(),
    # Null for an event that is about no customer; nothing follows from it.
    Column("customer_id", Id, ForeignKey("stripe_customers.id", ondelete="CASCADE")),
    choice("source", *FACT_SOURCES),
    # Stripe's id of an event; for other facts what makes them one, so that none is written twice.
    Column("reference", String(255), nullable=False),
    Column("type", String(100), nullable=False),
    # The object that it tells of: a subscription, an invoice, a checkout session ...
    Column("object_id", String(255)),
    # When it happened, to the second, as Stripe says or by the clock of billing.
    Column("happened_at", Instant, nullable=False),
    # JSON: of an event the event itself.
    Column("payload", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    # Set in the transaction of what followed from it.
    Column("handled_at", Instant),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failure", Text),
    Column("next_attempt_at", Instant),
    # Whether it says how its object stands now: such a fact is kept for as long as its object matters.
    Column("is_current", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("reference", name="uq_billing_facts_reference"),
    Index("ix_billing_facts_customer_id", "customer_id", "happened_at", "id"),
    # For finding whose an object is that names no customer, by another fact about it.
    Index("ix_billing_facts_object_id", "object_id"),
    Index("ix_billing_facts_unhandled", "next_attempt_at", "id", **only_where("handled_at IS NULL")),
    Index("ix_billing_facts_handled_at", "handled_at", **only_where("NOT is_current")),
)

# What a tenant set out to pay for. The row is committed before Stripe is asked, and its id is part of the
# Idempotency-Key, so a click that is repeated, or a crash in between, opens one session.
checkouts = Table(
    "checkouts",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    choice("kind", "subscription", "plan_change", "codes"),
    choice("state", *CHECKOUT_STATES),
    Column("plan_id", Id, ForeignKey("plans.id")),
    Column("quantity", Integer),
    Column("label", String(255)),
    # In minor units (cents), and in small letters, as Stripe writes them.
    Column("amount", BigInteger),
    Column("currency", String(3)),
    # The checkout session, or the session of Stripe's billing portal that confirms a change of plan.
    Column("stripe_session_id", String(255)),
    Column("stripe_payment_intent_id", String(255)),
    Column("url", Text),
    # The codes that were bought, encrypted until the tenant has seen them, and never longer than they may be kept.
    Column("sealed_codes", LargeBinary),
    Column("codes_shown_at", Instant),
    # The ids of the codes, as a JSON array: a refund takes back those of them that nobody has used.
    Column("code_ids", Text),
    Column("amount_refunded", BigInteger, nullable=False, server_default=text("0")),
    # The codes that a refund took back, and those that it could not, because they had been used.
    Column("codes_taken_back", Integer, nullable=False, server_default=text("0")),
    Column("codes_kept", Integer, nullable=False, server_default=text("0")),
    # Whoever asks Stripe for the session says until when it may take; another one asks only after that.
    Column("asked_until", Instant),
    Column("expires_at", Instant),
    Column("completed_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("stripe_session_id", name="uq_checkouts_stripe_session_id"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("(kind = 'codes') = (quantity IS NOT NULL)", name="quantity_of_codes"),
    # A tenant pays for one plan at a time, however often it clicks.
    Index(
        "uq_checkouts_one_plan",
        "tenant_id",
        "plan_id",
        unique=True,
        **only_where("kind <> 'codes' AND state IN ('opening', 'open')"),
    ),
    Index("ix_checkouts_tenant_id", "tenant_id", "id"),
    Index("ix_checkouts_expires_at", "expires_at", **only_where("state IN ('opening', 'open')")),
    Index("ix_checkouts_stripe_payment_intent_id", "stripe_payment_intent_id"),
    Index("ix_checkouts_sealed_codes", "completed_at", **only_where("sealed_codes IS NOT NULL")),
)

invoices = Table(
    "invoices",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("stripe_invoice_id", String(255), nullable=False),
    choice("state", *INVOICE_STATES),
    # In minor units of the currency.
    Column("amount", BigInteger, nullable=False),
    Column("amount_refunded", BigInteger, nullable=False, server_default=text("0")),
    Column("currency", String(3), nullable=False),
    Column("description", Text, nullable=False),
    Column("url", Text),
    Column("card_last4", String(4)),
    Column("issued_at", Instant, nullable=False),
    Column("paid_at", Instant),
    UniqueConstraint("stripe_invoice_id", name="uq_invoices_stripe_invoice_id"),
    Index("ix_invoices_tenant_id", "tenant_id", "issued_at", "id"),
)

payment_methods = Table(
    "payment_methods",
    metadata,
    id_column(),
    Column("tenant_id", Id, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("stripe_payment_method_id", String(255), nullable=False),
    Column("type", String(50), nullable=False),
    Column("brand", String(50)),
    Column("last4", String(4)),
    Column("exp_month", Integer),
    Column("exp_year", Integer),
    Column("is_default", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("stripe_payment_method_id", name="uq_payment_methods_stripe_payment_method_id"),
    Index("ix_payment_methods_tenant_id", "tenant_id", "id"),
)

# What the prices of plans are, as Stripe last said.
stripe_prices = Table(
    "stripe_prices",
    metadata,
    Column("stripe_price_id", String(255), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    choice("recurring_interval", "day", "week", "month", "year", is_optional=True),
    Column("fetched_at", Instant, nullable=False),
)

# How far the clock of billing is ahead of the machine's: not at all, unless Stripe's simulator was moved ahead.
billing_clock = Table(
    "billing_clock",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("ahead_seconds", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("ahead_seconds >= 0", name="ahead_seconds"),
)
