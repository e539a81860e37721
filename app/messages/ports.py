"""The interfaces through which use cases send messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Channel = Literal["sms", "whatsapp"]


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one address, as text and HTML; the subject holds no secret, as others may read it on its way."""

    to: str
    subject: str
    text: str
    html: str
    at: datetime


class Mailer(Protocol):
    """Sends mail; an implementation never blocks the event loop and never logs the text of a mail."""

    async def send(self, mail: Mail) -> None:
        """Return once the mail server has accepted the mail; nothing is known about its delivery after that.

        Raises DeliveryDeferredError if the same mail may be accepted later, DeliveryError if it never will be, and
        MailUnavailableError if the installation sends no mail at all.
        """


class Messenger(Protocol):
    """Sends SMS and WhatsApp messages, with the same guarantees as a mailer."""

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Return once the provider has accepted the message to a phone number.

        Raises DeliveryDeferredError if the same message may be accepted later, DeliveryError if it never will be, and
        MessengerUnavailableError if the installation sends no such messages at all.
        """

    async def close(self) -> None:
        """Close its connections."""
