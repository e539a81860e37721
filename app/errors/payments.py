"""What is asked of Stripe and not done, and what somebody sends in its name."""

from __future__ import annotations

from app.errors.availability import UnavailableError
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


class WebhookSignatureError(RequestError):
    """The message is not signed with a secret of this portal, or its time is too far from now.

    Compare PORTAL_STRIPE_WEBHOOK_SECRET with the secret that Stripe shows for this address, and the clocks.
    """

    code = "webhook_signature_invalid"


class PlanOfPriceNotFoundError(PortalError):
    """No plan has the price {price} that the tenant {tenant} pays for.

    Give a plan this price: portal seed-plan --name NAME --price-id {price} --quota RUNS.
    """

    code = "plan_of_price_not_found"
