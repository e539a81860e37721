"""What time does: trials end, periods are renewed, attempts are repeated, sessions expire, each at its moment."""

from __future__ import annotations

from app.providers.stripe_simulator import checkout, tables
from app.providers.stripe_simulator.books import Books, Object
from app.providers.stripe_simulator.charging import close_dispute
from app.providers.stripe_simulator.invoices import DRAFT_SECONDS, RETRY_DAYS, finalize, invoice_body, make_invoice
from app.providers.stripe_simulator.parameters import Parameters
from app.providers.stripe_simulator.periods import period_after
from app.providers.stripe_simulator.proration import pending_lines
from app.providers.stripe_simulator.refusals import Refusal
from app.providers.stripe_simulator.subscriptions import ENDED, end, full_period, method_of, pause, schedule, settle

# More than that happens to nobody within a year; without a bound a mistake would never end.
MAX_STEPS = 100_000


def pass_time(books: Books, until: int) -> int:
    """Let everything happen that is due until a moment, in the order of its moments; answers how much has."""
    for steps in range(MAX_STEPS):
        row = books.connection.execute(tables.first_due, {"until": until}).one_or_none()
        if row is None:
            books.now = until
            return steps
        books.now = max(books.now, row.due_at)
        _happen(books, row.id)
    raise Refusal("Time does not pass: too much happens.", status=500, kind="api_error")


def _happen(books: Books, object_id: str) -> None:
    kind = books.kind_of(object_id) or ""
    found = books.get(kind, object_id)
    books.notes(found)["due_at"] = None
    match kind:
        case "subscription":
            _to_subscription(books, found)
        case "invoice":
            _to_invoice(books, found)
        case "checkout.session":
            checkout.time_is_up(books, found)
        case "dispute":
            close_dispute(books, Parameters({}), object_id)
        case _:
            raise ValueError(kind)
    books.save(found)


def _to_subscription(books: Books, subscription: Object) -> None:
    item = subscription["items"]["data"][0]
    match subscription["status"]:
        case "incomplete":
            end(books, subscription, None, status="incomplete_expired")
        case "trialing" if books.now < subscription["trial_end"]:
            _tell_ahead(books, subscription, "customer.subscription.trial_will_end")
        case "trialing":
            _end_trial(books, subscription)
        case "active" | "past_due" if books.now < item["current_period_end"]:
            _tell_ahead(books, subscription, "invoice.upcoming")
        case "active" | "past_due":
            _renew(books, subscription)
        case _:
            # It rests, or has ended meanwhile.
            pass


def _tell_ahead(books: Books, subscription: Object, event: str) -> None:
    books.notes(subscription)["is_told"] = True
    if event == "invoice.upcoming":
        price, quantity = (subscription["items"]["data"][0][name] for name in ("price", "quantity"))
        until = subscription["items"]["data"][0]["current_period_end"]
        period = period_after(subscription["billing_cycle_anchor"], price["recurring"]["interval"], until)
        lines = [*pending_lines(books, subscription), full_period(books, price, quantity, *period)]
        upcoming = invoice_body(books, subscription, lines, "upcoming", "")
        del upcoming["id"]
        upcoming["next_payment_attempt"] = until + DRAFT_SECONDS
        books.tell(event, upcoming)
    else:
        books.tell(event, subscription)
    schedule(books, subscription)


def _end_trial(books: Books, subscription: Object) -> None:
    """A trial ends as its settings say where there is no payment method, and is paid for where there is one."""
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    has_method = method_of(books, subscription) is not None
    if subscription["cancel_at_period_end"] or (behavior == "cancel" and not has_method):
        end(books, subscription, None)
    elif behavior == "pause" and not has_method:
        pause(books, subscription)
    else:
        _renew(books, subscription)


def _renew(books: Books, subscription: Object) -> None:
    """Begin the next period, with an invoice that is a draft for an hour."""
    if subscription["cancel_at_period_end"]:
        end(books, subscription, None)
        return
    item = subscription["items"]["data"][0]
    price, quantity = item["price"], item["quantity"]
    period = period_after(
        subscription["billing_cycle_anchor"], price["recurring"]["interval"], item["current_period_end"]
    )
    renewed = {**item, "current_period_start": period[0], "current_period_end": period[1]}
    lines = [*pending_lines(books, subscription), full_period(books, price, quantity, *period)]
    invoice = make_invoice(books, subscription, lines, "subscription_cycle", draft_seconds=DRAFT_SECONDS)
    books.notes(subscription).update(pending=[], is_told=False)
    books.change(
        subscription,
        "customer.subscription.updated",
        status="active" if subscription["status"] == "trialing" else subscription["status"],
        items={**subscription["items"], "data": [renewed]},
        latest_invoice=invoice["id"],
    )
    schedule(books, subscription)


def _to_invoice(books: Books, invoice: Object) -> None:
    """Make a draft final and have it paid, or try once more; after the last attempt its subscription ends."""
    subscription = books.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
    if subscription["status"] in ENDED or invoice["status"] not in {"draft", "open"}:
        return
    if invoice["status"] == "draft":
        finalize(books, invoice)
    decline = settle(books, subscription, invoice, off_session=True)
    if decline is not None and invoice["attempt_count"] > len(RETRY_DAYS):
        end(books, subscription, "payment_failed")
