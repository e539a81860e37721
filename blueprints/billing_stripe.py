"""What Stripe calls: the webhook by which it tells what has happened."""

from __future__ import annotations

from collections.abc import Mapping

from app import errors
from app.access.callers import ANYONE
from app.context import Context
from app.services.payments import inbox
from app.services.payments.inbox import Ignored, Received
from blueprints.web.operations import Api

api = Api("billing_stripe", "/billing/stripe")


@api.operation(
    "POST",
    "/webhook",
    caller=ANYONE,
    body=bytes,
    max_body=inbox.MAX_EVENT_BYTES,
    optional_headers={"Stripe-Signature": "By which Stripe proves that it has sent the body."},
    answers=Received,
    errors=(errors.NotFoundError, errors.WebhookSignatureError, errors.MalformedBodyError),
)
async def webhook(ctx: Context, body: bytes, headers: Mapping[str, str]) -> Received | Ignored:
    """Take an event of Stripe's; it is stored once by its id, answered, and handled soon after.

    `{"ignored": true}` is the answer to an event of another mode (test or live) than the portal's key, and to one of an
    account that is connected to Stripe's. Nobody is told that the address exists where no webhook secret is configured.
    """
    return await inbox.receive(ctx, body, headers.get("Stripe-Signature"))
