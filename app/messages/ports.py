"""What carries messages to tenants, as those who send them see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Channel = Literal["sms", "whatsapp"]


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one address, as text and as HTML; what a subject says may be read by anybody on its way."""

    to: str
    subject: str
    text: str
    html: str
    at: datetime


class Mailer(Protocol):
    """Takes mail; an implementation never blocks the event loop and never logs what a message says."""

    async def send(self, mail: Mail) -> None:
        """Return once the mail was accepted, which is all that is known of it.

        Raises DeliveryDeferredError when the same mail may be accepted later, DeliveryError when it will not be,
        MailUnavailableError where no mail leaves at all.
        """


class Messenger(Protocol):
    """Takes SMS and WhatsApp messages, with the promises of a mailer."""

    async def send(self, channel: Channel, to: str, text: str) -> None:
        """Return once the message to a phone number was accepted.

        Raises DeliveryDeferredError when the same message may be accepted later, DeliveryError when it will not be,
        MessengerUnavailableError where none leaves at all.
        """
