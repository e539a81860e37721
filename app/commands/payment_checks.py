"""The doctor's checks of payments: the key and its mode, and whether what Stripe tells is received."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.commands.check_result import CheckResult
from app.errors import PaymentsRefusedError, PaymentsUnavailableError
from app.providers.payments import BillingGateway
from app.providers.stripe import gateway_for
from app.settings import Settings

CHECK = "payments"
# How Stripe's secret keys begin, and restricted ones, by mode.
MODES = {"sk_live_": "live", "rk_live_": "live", "sk_test_": "test", "rk_test_": "test"}


async def payments(settings: Settings) -> AsyncIterator[CheckResult]:
    """Whether anything can be paid for, in which mode, and whether the portal hears of it."""
    if settings.simulates_stripe:
        yield CheckResult(CHECK, "ok", "are simulated, at /dev/stripe; no money moves")
        return
    gateway = gateway_for(settings, None)
    if gateway is None:
        yield CheckResult(CHECK, "warning", "none: nobody can pay; set PORTAL_STRIPE_SECRET_KEY")
        return
    key = settings.stripe_secret_key.get_secret_value()
    mode = next((mode for prefix, mode in MODES.items() if key.startswith(prefix)), None)
    if mode is None:
        yield CheckResult(CHECK, "failure", f"PORTAL_STRIPE_SECRET_KEY must start with one of {', '.join(MODES)}")
        return
    try:
        yield await _account(gateway, mode, settings.environment)
        yield await _plan_changes(gateway)
    except PaymentsUnavailableError:
        told = "does not answer: until it does, whoever wants to pay is refused with 503"
        yield CheckResult(CHECK, "warning", f"{settings.stripe_api_base or 'Stripe'} {told}")
    except PaymentsRefusedError as failure:
        yield CheckResult(CHECK, "failure", f"Stripe refuses: {failure.values['reason']} (PORTAL_STRIPE_SECRET_KEY)")
    finally:
        await gateway.close()
    yield _webhook(settings)


async def _account(gateway: BillingGateway, mode: str, environment: str) -> CheckResult:
    account = await gateway.check()
    if mode == "test" and environment == "production":
        return CheckResult(CHECK, "warning", f"{account} in test mode: no money moves; set PORTAL_STRIPE_SECRET_KEY")
    if mode == "live" and environment == "development":
        return CheckResult(CHECK, "warning", f"{account} in live mode: real money moves, and this is development")
    return CheckResult(CHECK, "ok", f"{account} takes the key, in {mode} mode")


async def _plan_changes(gateway: BillingGateway) -> CheckResult:
    if await gateway.offers_plan_changes():
        return CheckResult("plan_changes", "ok", "are offered by Stripe's customer portal")
    detail = "Stripe's customer portal offers none; allow customers to switch plans in its settings at Stripe"
    return CheckResult("plan_changes", "warning", detail)


def _webhook(settings: Settings) -> CheckResult:
    secrets = settings.stripe_webhook_secrets
    address = f"{settings.public_url.rstrip('/')}/billing/stripe/webhook"
    if not secrets:
        detail = f"none: nobody gets what they have paid for; let Stripe send to {address}, and set"
        return CheckResult("webhook", "failure", f"{detail} PORTAL_STRIPE_WEBHOOK_SECRET")
    if not all(secret.startswith("whsec_") for secret in secrets):
        return CheckResult("webhook", "failure", "PORTAL_STRIPE_WEBHOOK_SECRET must hold what starts with whsec_")
    return CheckResult("webhook", "ok", f"Stripe sends to {address}, signed with one of {len(secrets)}")
