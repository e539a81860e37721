"""The MIME message of a mail, with text and HTML as alternatives."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, make_msgid

from app.errors import DeliveryError
from app.messages.ports import Mail


def as_message(mail: Mail, sender: str, sender_name: str) -> EmailMessage:
    """The MIME message from a sender; raises DeliveryError if an address or a text cannot be encoded."""
    try:
        return _compose(mail, sender, sender_name)
    except (ValueError, LookupError) as failure:
        raise DeliveryError(reason=f"it cannot be written as mail ({failure})") from None


def _compose(mail: Mail, sender: str, sender_name: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = formataddr((sender_name, sender))
    message["To"] = mail.to
    # One line: a name within it may have been stored before names were.
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = format_datetime(mail.at)
    # The domain is passed, because otherwise the library asks the name server for this machine's name.
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message
