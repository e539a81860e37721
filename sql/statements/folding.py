"""Folding a customer's facts: its lock, what is known of it, and what follows in the tables of its tenant."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    String,
    and_,
    bindparam,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    true,
    update,
)

from sql.dialect import batch_rows, insert
from sql.hidden import hidden_too, is_shown, tenant_is_shown
from sql.scope import across_tenants
from sql.tables import (
    activation_codes,
    billing_facts,
    checkouts,
    invoices,
    payment_methods,
    plans,
    stripe_customers,
    subscriptions,
    tenants,
)
from sql.tables.columns import Instant

customer_locked = across_tenants(
    select(
        stripe_customers.c.id,
        stripe_customers.c.tenant_id,
        stripe_customers.c.stripe_customer_id,
        stripe_customers.c.folded_at,
    )
    .where(stripe_customers.c.id == bindparam("customer_id"), is_shown(stripe_customers))
    .with_for_update(key_share=True, of=stripe_customers),
    "an errand knows a customer by its id alone",
)

facts_of_customer = (
    select(
        billing_facts.c.id,
        billing_facts.c.source,
        billing_facts.c.reference,
        billing_facts.c.type,
        billing_facts.c.object_id,
        billing_facts.c.happened_at,
        billing_facts.c.payload,
        billing_facts.c.handled_at,
        billing_facts.c.attempts,
        billing_facts.c.is_current,
    )
    .where(billing_facts.c.customer_id == bindparam("customer_id"))
    .order_by(billing_facts.c.id)
)

_objects = batch_rows(object_id=String)

# Events that name no customer and arrived before it was known whose their object is.
adopt_facts = (
    update(billing_facts)
    .where(
        billing_facts.c.customer_id.is_(None),
        billing_facts.c.handled_at.is_(None),
        billing_facts.c.object_id.in_(select(_objects.c.object_id)),
    )
    .values(customer_id=bindparam("of_customer_id"))
    .returning(billing_facts.c.id)
)

# Whose customer it is, where a tenant's subscription is linked to it or to one of its subscriptions.
_of_customer = billing_facts.c.customer_id == bindparam("customer_id")
tenant_by_subscription = across_tenants(
    select(subscriptions.c.tenant_id)
    .where(
        subscriptions.c.ended_at.is_(None),
        or_(
            subscriptions.c.stripe_customer_id == bindparam("customer"),
            subscriptions.c.stripe_subscription_id.in_(select(billing_facts.c.object_id).where(_of_customer)),
        ),
        is_shown(subscriptions),
    )
    .order_by(subscriptions.c.stripe_customer_id.is_distinct_from(bindparam("customer")), subscriptions.c.id)
    .limit(1),
    "it looks for the tenant of a customer of nobody",
)

_others = stripe_customers.alias("others")

claim = across_tenants(
    update(stripe_customers)
    .where(
        stripe_customers.c.id == bindparam("of_id"),
        stripe_customers.c.tenant_id.is_(None),
        ~exists().where(_others.c.tenant_id == bindparam("of_tenant_id")),
        exists().where(tenants.c.id == bindparam("of_tenant_id"), tenants.c.deleted_at.is_(None)),
    )
    .values(tenant_id=bindparam("of_tenant_id")),
    "a customer of nobody becomes the tenant's",
)

_ids = batch_rows(id=BigInteger)
_among = billing_facts.c.id.in_(select(_ids.c.id))
_of = billing_facts.c.customer_id == bindparam("of_customer_id")

mark_handled = (
    update(billing_facts)
    .where(_of, _among, billing_facts.c.handled_at.is_(None))
    .values(handled_at=bindparam("now"), failure=null(), next_attempt_at=null())
)

# Marks those that are current, and no other one.
mark_current = (
    update(billing_facts)
    .where(_of, billing_facts.c.is_current != _among)
    .values(is_current=~billing_facts.c.is_current)
)

# What cannot be read is not tried again: nothing that is told later changes it.
note_unreadable = (
    update(billing_facts).where(_of, billing_facts.c.id == bindparam("of_id")).values(failure=bindparam("reason"))
)

note_failure = (
    update(billing_facts)
    .where(_of, billing_facts.c.handled_at.is_(None))
    .values(attempts=billing_facts.c.attempts + 1, failure=bindparam("reason"), next_attempt_at=bindparam("next_at"))
)

# The newest failures of a customer's facts, and since when they wait.
attempts = select(
    func.coalesce(func.max(billing_facts.c.attempts), 0).label("attempts"),
    func.min(billing_facts.c.received_at).label("oldest"),
).where(billing_facts.c.customer_id == bindparam("customer_id"), billing_facts.c.handled_at.is_(None))

# No failure: they are folded once somebody says whose they are.
park = (
    update(billing_facts)
    .where(_of, billing_facts.c.handled_at.is_(None))
    .values(failure=bindparam("reason"), next_attempt_at=bindparam("next_at"))
)

store_fold = across_tenants(
    hidden_too(
        update(stripe_customers)
        .where(stripe_customers.c.id == bindparam("of_id"))
        .values(state_hash=bindparam("hash"), folded_at=bindparam("now")),
        "its row was found and locked just before",
    ),
    "its row was found and locked just before",
)

tenant_locked = (
    select(tenants.c.id, tenants.c.name, tenants.c.slug)
    .where(tenants.c.id == bindparam("tenant_id"), tenant_is_shown)
    .with_for_update(key_share=True)
)

subscription_as_stored = select(
    subscriptions.c.plan_id,
    subscriptions.c.state,
    subscriptions.c.current_period_start,
    subscriptions.c.current_period_end,
    subscriptions.c.trial_ends_at,
    subscriptions.c.grace_until,
    subscriptions.c.cancel_at_period_end,
    subscriptions.c.stripe_customer_id,
    subscriptions.c.stripe_subscription_id,
).where(subscriptions.c.tenant_id == bindparam("tenant_id"), subscriptions.c.ended_at.is_(None))

plan_of_price = select(plans.c.id).where(plans.c.stripe_price_id == bindparam("price_id"))

plan_name = select(plans.c.name).where(plans.c.id == bindparam("plan_id"))

_INVOICE = {
    "stripe_invoice_id": String,
    "state": String,
    "amount": BigInteger,
    "amount_refunded": BigInteger,
    "currency": String,
    "description": String,
    "url": String,
    "card_last4": String,
    "issued_at": Instant,
    "paid_at": Instant,
}
stored_invoices = select(*(invoices.c[name] for name in _INVOICE)).where(invoices.c.tenant_id == bindparam("tenant_id"))

_invoices = batch_rows(**_INVOICE)
_invoice = insert(invoices).from_select(
    ["tenant_id", *_INVOICE],
    # Without a WHERE clause SQLite would parse ON CONFLICT as the condition of a join.
    select(bindparam("of_tenant_id", type_=BigInteger), *_invoices.c).where(true()),
)
store_invoices = _invoice.on_conflict_do_update(
    index_elements=[invoices.c.stripe_invoice_id],
    set_={name: _invoice.excluded[name] for name in _INVOICE if name != "stripe_invoice_id"},
    where=invoices.c.tenant_id == bindparam("of_tenant_id"),
)

_METHOD = {
    "stripe_payment_method_id": String,
    "type": String,
    "brand": String,
    "last4": String,
    "exp_month": Integer,
    "exp_year": Integer,
    "is_default": Boolean,
}
stored_payment_methods = select(*(payment_methods.c[name] for name in _METHOD)).where(
    payment_methods.c.tenant_id == bindparam("tenant_id")
)

_methods = batch_rows(**_METHOD)
_method = insert(payment_methods).from_select(
    ["tenant_id", *_METHOD], select(bindparam("of_tenant_id", type_=BigInteger), *_methods.c).where(true())
)
store_payment_methods = _method.on_conflict_do_update(
    index_elements=[payment_methods.c.stripe_payment_method_id],
    set_={name: _method.excluded[name] for name in _METHOD if name != "stripe_payment_method_id"},
    where=payment_methods.c.tenant_id == bindparam("of_tenant_id"),
)

_kept = batch_rows(stripe_payment_method_id=String)
delete_payment_methods = delete(payment_methods).where(
    payment_methods.c.tenant_id == bindparam("of_tenant_id"),
    payment_methods.c.stripe_payment_method_id.not_in(select(_kept.c.stripe_payment_method_id)),
)

_named = batch_rows(session_id=String, payment_intent_id=String, checkout_id=BigInteger)
_is_named = or_(
    checkouts.c.stripe_session_id.in_(select(_named.c.session_id)),
    checkouts.c.stripe_payment_intent_id.in_(select(_named.c.payment_intent_id)),
    checkouts.c.id.in_(select(_named.c.checkout_id)),
)
named_checkouts = (
    select(
        checkouts.c.id,
        checkouts.c.kind,
        checkouts.c.state,
        checkouts.c.quantity,
        checkouts.c.label,
        checkouts.c.amount,
        checkouts.c.stripe_session_id,
        checkouts.c.stripe_payment_intent_id,
        checkouts.c.code_ids,
        checkouts.c.amount_refunded,
        checkouts.c.codes_taken_back,
        checkouts.c.codes_kept,
    )
    .where(checkouts.c.tenant_id == bindparam("tenant_id"), _is_named)
    .order_by(checkouts.c.id)
)

insert_checkout = insert(checkouts).returning(checkouts.c.id)

_checkout = and_(checkouts.c.tenant_id == bindparam("of_tenant_id"), checkouts.c.id == bindparam("of_id"))

# Of any number of folds one pays it: codes are made by whoever changes this row.
pay_checkout = (
    update(checkouts)
    .where(_checkout, checkouts.c.state.not_in(("paid", "refunded")))
    .values(
        state="paid",
        stripe_session_id=bindparam("session_id"),
        stripe_payment_intent_id=bindparam("payment_intent_id"),
        completed_at=bindparam("at"),
        updated_at=bindparam("now"),
    )
)

keep_codes = (
    update(checkouts)
    .where(_checkout)
    .values(sealed_codes=bindparam("sealed"), code_ids=bindparam("ids"), updated_at=bindparam("now"))
)

end_checkout = (
    update(checkouts)
    .where(_checkout, checkouts.c.state.in_(("opening", "open")))
    .values(state=bindparam("outcome"), updated_at=bindparam("now"))
)

give_back = (
    update(checkouts)
    .where(_checkout, checkouts.c.state.in_(("paid", "refunded")))
    .values(
        state=bindparam("outcome"),
        amount_refunded=bindparam("refunded"),
        codes_taken_back=bindparam("taken_back"),
        codes_kept=bindparam("kept"),
        updated_at=bindparam("now"),
    )
)

forget_refunded_codes = update(checkouts).where(_checkout).values(sealed_codes=null())

# A page that asks to confirm a change of plan tells nothing of its end; the change itself says that it was confirmed.
confirm_change = (
    update(checkouts)
    .where(
        checkouts.c.tenant_id == bindparam("of_tenant_id"),
        checkouts.c.plan_id == bindparam("of_plan_id"),
        checkouts.c.kind == "plan_change",
        checkouts.c.state == "open",
    )
    .values(state="paid", completed_at=bindparam("now"), updated_at=bindparam("now"))
)

_codes = batch_rows(id=BigInteger)
purchased_codes = (
    select(activation_codes.c.id, activation_codes.c.hint, activation_codes.c.use_count, activation_codes.c.revoked_at)
    .where(activation_codes.c.tenant_id == bindparam("tenant_id"), activation_codes.c.id.in_(select(_codes.c.id)))
    .order_by(activation_codes.c.id)
    .with_for_update()
)

# Only those that nobody has used meanwhile.
take_back_codes = (
    update(activation_codes)
    .where(
        activation_codes.c.tenant_id == bindparam("of_tenant_id"),
        activation_codes.c.id.in_(select(_codes.c.id)),
        activation_codes.c.use_count == 0,
        activation_codes.c.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("now"))
)
