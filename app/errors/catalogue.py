"""Things that are not there, or are there twice."""

from __future__ import annotations

from app.errors.root import PortalError


class TenantNotFoundError(PortalError):
    """There is no tenant with the slug {slug}.

    Check the spelling of the slug.
    """

    code = "tenant_not_found"
    status = 404


class PlanNotFoundError(PortalError):
    """There is no plan named {plan}.

    Choose one of the existing plans: portal list-plans.
    """

    code = "plan_not_found"
    status = 400


class CodeNotFoundError(PortalError):
    """The tenant has no such activation code.

    List its codes to see their ids and hints.
    """

    code = "activation_code_not_found"
    status = 404


class DeviceNotFoundError(PortalError):
    """The tenant has no device {device_id}.

    List its devices to see their ids.
    """

    code = "device_not_found"
    status = 404


class ConflictError(PortalError):
    """Something else already has what was asked for."""

    code = "conflict"
    status = 409


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


class SubscriptionConflictError(ConflictError):
    """The Stripe {kind} {reference} belongs to another tenant's subscription.

    Link each Stripe customer and subscription to one tenant.
    """

    code = "subscription_conflict"


class ApiTokenNotFoundError(PortalError):
    """There is no API token {token_id}.

    List the tokens to see their ids.
    """

    code = "api_token_not_found"
    status = 404


class OperatorNotFoundError(PortalError):
    """There is no operator {email}.

    Check the spelling of the address.
    """

    code = "operator_not_found"
    status = 404


class PlanMissingError(PortalError):
    """There is no plan {plan_id}.

    List the plans to see their ids.
    """

    code = "plan_missing"
    status = 404


class PlanNameConflictError(ConflictError):
    """There is already a plan named {name}.

    Choose another name, or update that plan.
    """

    code = "plan_conflict"


class IdempotencyConflictError(ConflictError):
    """This Idempotency-Key was used with another request.

    Use a new key for each different request.
    """

    code = "idempotency_conflict"


class IdempotencyRunningError(ConflictError):
    """The first request with this Idempotency-Key is still running.

    Wait a moment, then repeat the request to get its answer.
    """

    code = "idempotency_running"


class IdempotencyLostError(IdempotencyRunningError):
    """This request stood still for so long that its Idempotency-Key was given to a repeat of it; nothing was changed.

    Wait a moment, then repeat the request to get the answer of that one.
    """


class IdempotencyAnswerLostError(ConflictError):
    """The first request with this Idempotency-Key was carried out, but its answer was lost when a server failed.

    Look for what it has created; to create another one, use a new key.
    """

    code = "idempotency_answer_lost"
