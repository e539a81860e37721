"""Messages to tenants that do not arrive; told to operators, never to who asked."""

from __future__ import annotations

from app.errors.root import PortalError


class DeliveryError(PortalError):
    """The message was not accepted: {reason}.

    Check the tenant's address, and what carries the message.
    """

    code = "delivery_failed"
    status = 502


class DeliveryDeferredError(DeliveryError):
    """The message was not accepted yet: {reason}.

    It is tried again by itself.
    """

    code = "delivery_deferred"


class MailUnavailableError(DeliveryError):
    """No mail leaves this installation.

    Set PORTAL_SMTP_URL, for example smtp://user:password@host:587.
    """

    code = "mail_unavailable"


class MessengerUnavailableError(DeliveryError):
    """No SMS or WhatsApp message leaves this installation.

    Set PORTAL_MESSAGE_PROVIDER_URL, or let the tenant receive its codes by e-mail.
    """

    code = "messenger_unavailable"
