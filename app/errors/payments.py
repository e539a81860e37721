"""What is asked of Stripe and not done, and what somebody sends in its name."""

from __future__ import annotations

from app.errors.availability import UnavailableError
from app.errors.conflicts import ConflictError
from app.errors.requests import RequestError
from app.errors.root import PortalError


class PaymentsUnavailableError(UnavailableError):
    """Payments cannot be made at the moment, because Stripe does not answer.

    Try again in {retry_after} seconds; what was asked for is done once, however often it is tried.
    """

    code = "payments_unavailable"

    def __init__(self, *, retry_after: int = 5) -> None:
        super().__init__(retry_after=retry_after)


class PaymentsRefusedError(PortalError):
    """Stripe has refused this: {reason}.

    Ask the operator of the portal, and name the request id.
    """

    code = "payments_refused"
    status = 502


class PaymentsNotConfiguredError(PortalError):
    """Nothing can be paid for here yet.

    Ask the operator of the portal to set PORTAL_STRIPE_SECRET_KEY.
    """

    code = "payments_not_configured"
    status = 503


class SimulatorMissingError(PortalError):
    """There is no simulator of Stripe here, because Stripe itself is asked, or this is no development.

    Unset PORTAL_STRIPE_SECRET_KEY in development to use it.
    """

    code = "simulator_missing"
    status = 409


class WebhookSignatureError(RequestError):
    """The message is not signed with a secret of this portal, or its time is too far from now.

    Compare PORTAL_STRIPE_WEBHOOK_SECRET with the secret that Stripe shows for this address, and the clocks.
    """

    code = "webhook_signature_invalid"


class AlreadyOnPlanError(ConflictError):
    """The tenant is on the plan {plan} already.

    Choose another plan; cards and open invoices are in Stripe's billing portal.
    """

    code = "already_on_plan"


class CheckoutReplacedError(ConflictError):
    """Meanwhile something else was chosen to pay for.

    Reload the page, and choose again if that was not intended.
    """

    code = "checkout_replaced"


class NothingPaidForError(ConflictError):
    """The tenant has no subscription that is paid through Stripe.

    Choose a plan first; a plan that was given by the operator is the operator's to change.
    """

    code = "nothing_paid_for"


class PurchaseNotFoundError(PortalError):
    """There is no purchase {purchase_id}.

    List the purchases to see their ids.
    """

    code = "purchase_not_found"
    status = 404


class PurchaseUnpaidError(ConflictError):
    """The purchase {purchase_id} is {state}, so there are no codes of it.

    They are made as soon as Stripe says that it is paid.
    """

    code = "purchase_unpaid"


class CodesGoneError(PortalError):
    """The codes of purchase {purchase_id} were shown before, or are older than they may be kept.

    Ask the operator of the portal to revoke those that were lost and to make new ones.
    """

    code = "codes_gone"
    status = 410


class PlanOfPriceNotFoundError(PortalError):
    """No plan has the price {price} that the tenant {tenant} pays for.

    Give a plan this price: portal seed-plan --name NAME --price-id {price} --quota RUNS.
    """

    code = "plan_of_price_not_found"
