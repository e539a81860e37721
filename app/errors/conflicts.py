"""Something else already has what was asked for."""

from __future__ import annotations

from app.errors.root import PortalError


class ConflictError(PortalError):
    """Something else already has what was asked for."""

    code = "conflict"
    status = 409


class VersionConflictError(PortalError):
    """It was changed meanwhile: its version is now {version}.

    Read it again, and send the ETag of that answer as If-Match.
    """

    code = "version_conflict"
    status = 412


class TenantConflictError(ConflictError):
    """The slug {slug} is taken by another tenant.

    Choose another slug.
    """

    code = "tenant_conflict"


class PlanConflictError(ConflictError):
    """The price id {price_id} belongs to another plan.

    Use a price of its own for each plan.
    """

    code = "plan_conflict"


class PlanNameConflictError(ConflictError):
    """There is already a plan named {name}.

    Choose another name, or update that plan.
    """

    code = "plan_conflict"


class SubscriptionConflictError(ConflictError):
    """The Stripe {kind} {reference} belongs to another tenant's subscription.

    Link each Stripe customer and subscription to one tenant.
    """

    code = "subscription_conflict"


class ContactChangeWaitsError(ConflictError):
    """The change of the {what} waits for confirmation: a message with a link was sent to {asked_at}.

    Everything else was saved. Follow the link within {hours} hours, or ask your vendor to confirm the change.
    """

    code = "contact_change_waits"
