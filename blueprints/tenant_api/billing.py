"""A tenant's billing: what it has and pays, and where it goes to pay."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from app import errors
from app.access.callers import TENANT
from app.context import Context
from app.services.payments import purchases as buying
from app.services.payments import renewals, summary, upgrades
from blueprints.tenant_api import api
from blueprints.web.billing_fields import BillingAnswer, PaymentMethodsAnswer, PricedPlanAnswer
from blueprints.web.fields import IS_NAME, NO_NUL, CamelRequest, blank_is_null
from blueprints.web.payment_fields import (
    CheckoutAnswer,
    CodesAnswer,
    PortalAnswer,
    PreviewAnswer,
    PurchaseAnswer,
    PurchasesAnswer,
    RenewalAnswer,
)
from sql.bounds import MAX_ID

MAX_CODES = 100
PURCHASE_IN_PATH = {"purchase_id": "The purchase's id."}
STRIPE_ERRORS = (errors.PaymentsUnavailableError, errors.PaymentsRefusedError, errors.PaymentsNotConfiguredError)
CHECKOUT_ERRORS = (
    errors.TenantNotFoundError,
    errors.CheckoutReplacedError,
    errors.RateLimitedError,
    *STRIPE_ERRORS,
)
RENEWAL_ERRORS = (errors.TenantNotFoundError, errors.NothingPaidForError, *STRIPE_ERRORS)

PlanId = Annotated[int, Field(ge=1, le=MAX_ID, description="The plan's id.")]


class UpgradeRequest(CamelRequest):
    """Which plan."""

    plan_id: PlanId
    immediate: Annotated[
        bool,
        Field(
            description="Changes nothing: a change takes effect when it is confirmed at Stripe, where what is left of"
            " the old plan is given back."
        ),
    ] = False


class PurchaseRequest(CamelRequest):
    """How many codes."""

    quantity: Annotated[int, Field(ge=1, le=MAX_CODES, description="How many codes.")]
    label: Annotated[
        Annotated[str, Field(max_length=255, pattern=NO_NUL), IS_NAME] | None,
        BeforeValidator(blank_is_null),
        Field(description="What the codes are for; each of them gets it."),
    ] = None


class PreviewQuery(CamelRequest):
    """Which plan."""

    plan_id: PlanId


class PurchasesQuery(CamelRequest):
    """Which page."""

    before: Annotated[
        Annotated[int, Field(ge=1, le=MAX_ID)] | None, Field(description="Purchases older than this one.")
    ] = None
    page_size: Annotated[int, Field(ge=1, le=100, description="Purchases a page.")] = 20


@api.operation("GET", "/billing", caller=TENANT, answers=BillingAnswer, errors=(errors.TenantNotFoundError,))
async def billing(ctx: Context) -> BillingAnswer:
    """What the tenant has and pays: subscription, this month's use, payments, means of payment.

    Amounts are numbers in the currency that stands beside them. A price is null where Stripe has none or could not be
    asked yet. Nothing here waits for Stripe but a price that is read for the first time.
    """
    return BillingAnswer.of(await summary.own_summary(ctx), ctx.runtime.settings)


@api.operation("GET", "/billing/plans", caller=TENANT, answers=list[PricedPlanAnswer])
async def plans_with_prices(ctx: Context) -> list[PricedPlanAnswer]:
    """All plans with their prices, the smallest quota first."""
    return [PricedPlanAnswer.of(each) for each in await summary.priced_plans(ctx)]


@api.operation(
    "GET",
    "/billing/preview",
    caller=TENANT,
    query=PreviewQuery,
    answers=PreviewAnswer,
    errors=(errors.PlanIdNotFoundError, errors.TenantNotFoundError, *STRIPE_ERRORS),
)
async def preview_upgrade(ctx: Context, query: PreviewQuery) -> PreviewAnswer:
    """What a change to a plan would cost at once and from the next period on; it changes nothing."""
    return PreviewAnswer.of(await upgrades.preview_upgrade(ctx, query.plan_id))


@api.operation(
    "POST",
    "/billing/upgrade",
    caller=TENANT,
    body=UpgradeRequest,
    answers=CheckoutAnswer,
    errors=(errors.PlanIdNotFoundError, errors.AlreadyOnPlanError, *CHECKOUT_ERRORS),
)
async def upgrade(ctx: Context, body: UpgradeRequest) -> CheckoutAnswer:
    """Begin to pay for a plan, larger or smaller: the browser goes to the answer's address.

    Without a living subscription that is a checkout, with one the confirmation of its change: there is never a second
    one. Nothing changes before Stripe says so. Another request for the same plan is answered with the same session.
    """
    return CheckoutAnswer.of(await upgrades.start_upgrade(ctx, body.plan_id))


@api.operation(
    "POST",
    "/billing/purchase-codes",
    caller=TENANT,
    body=PurchaseRequest,
    answers=PurchaseAnswer,
    errors=CHECKOUT_ERRORS,
)
async def purchase_codes(ctx: Context, body: PurchaseRequest) -> PurchaseAnswer:
    """Begin to pay for activation codes; they are made once Stripe says that they are paid.

    The same request within ten minutes is answered with the same session, as long as that is open.
    """
    opened = await buying.start_purchase(ctx, body.quantity, body.label)
    return PurchaseAnswer.bought(opened, ctx.runtime.settings.billing_currency)


@api.operation("GET", "/billing/purchases", caller=TENANT, query=PurchasesQuery, answers=PurchasesAnswer)
async def own_purchases(ctx: Context, query: PurchasesQuery) -> PurchasesAnswer:
    """The purchases of codes, newest first, paid or not."""
    return PurchasesAnswer.of(await buying.own_purchases(ctx, before=query.before, page_size=query.page_size))


@api.operation(
    "GET",
    "/billing/purchases/{purchase_id:int}/codes",
    caller=TENANT,
    answers=CodesAnswer,
    errors=(errors.PurchaseNotFoundError, errors.PurchaseUnpaidError, errors.CodesGoneError),
    path_parameters=PURCHASE_IN_PATH,
    creates=True,
)
async def show_codes(ctx: Context, purchase_id: int) -> CodesAnswer:
    """The codes of a purchase, shown once; kept for 30 days until then.

    With the header Idempotency-Key an answer that was lost is given again to whoever sends the same key.
    """
    return CodesAnswer(purchase_id=purchase_id, codes=await buying.show_codes(ctx, purchase_id))


@api.operation("GET", "/billing/payment-methods", caller=TENANT, answers=PaymentMethodsAnswer)
async def payment_methods(ctx: Context) -> PaymentMethodsAnswer:
    """What the tenant pays with, the default first; empty without a customer at Stripe."""
    return PaymentMethodsAnswer.of(await summary.own_payment_methods(ctx))


@api.operation("POST", "/billing/portal", caller=TENANT, answers=PortalAnswer, errors=RENEWAL_ERRORS)
async def billing_portal(ctx: Context) -> PortalAnswer:
    """Open Stripe's billing portal: cards, invoices, cancellation."""
    return PortalAnswer(url=await renewals.open_portal(ctx))


@api.operation("POST", "/billing/cancel", caller=TENANT, answers=RenewalAnswer, errors=RENEWAL_ERRORS)
async def cancel_renewal(ctx: Context) -> RenewalAnswer:
    """Let the subscription end with the period that is paid for."""
    return RenewalAnswer.of(await renewals.cancel_renewal(ctx))


@api.operation("POST", "/billing/resume", caller=TENANT, answers=RenewalAnswer, errors=RENEWAL_ERRORS)
async def resume_renewal(ctx: Context) -> RenewalAnswer:
    """Let a subscription go on that was to end with its period."""
    return RenewalAnswer.of(await renewals.resume_renewal(ctx))
