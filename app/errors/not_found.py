"""What was asked for by its name or id is not there."""

from __future__ import annotations

from app.errors.root import PortalError


class TenantNotFoundError(PortalError):
    """There is no tenant with the slug {slug}.

    Check the spelling of the slug.
    """

    code = "tenant_not_found"
    status = 404


class TenantDeletionNotFoundError(PortalError):
    """There is no deletion {deletion_id} of a tenant.

    List the deletions to see their ids.
    """

    code = "tenant_deletion_not_found"
    status = 404


class StripeEventNotFoundError(PortalError):
    """No event of Stripe's with the id {event_id} is stored that is about one of its customers.

    Let Stripe send it again, or check the id; events are kept for 90 days.
    """

    code = "stripe_event_not_found"
    status = 404


class HistoryNotFoundError(PortalError):
    """Stripe has told nothing of the tenant {slug} yet.

    Link the tenant to its customer: portal link-sub --tenant {slug} --customer ID.
    """

    code = "history_not_found"
    status = 404


class PlanNameNotFoundError(PortalError):
    """There is no plan named {plan}.

    Choose one of the existing plans: portal list-plans.
    """

    code = "plan_not_found"
    status = 400


class PlanIdNotFoundError(PortalError):
    """There is no plan {plan_id}.

    List the plans to see their ids.
    """

    code = "plan_missing"
    status = 404


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


class TemplateNotFoundError(PortalError):
    """There is no template {template_id}.

    List the templates to see their ids.
    """

    code = "template_not_found"
    status = 404


class AlertNotFoundError(PortalError):
    """There is no alert {alert_id}.

    List the alerts to see their ids.
    """

    code = "alert_not_found"
    status = 404


class ContactChangeNotFoundError(PortalError):
    """No change of where one-time passwords go waits for the tenant {slug}.

    It may have been confirmed, refused or superseded, or have expired.
    """

    code = "contact_change_not_found"
    status = 404
