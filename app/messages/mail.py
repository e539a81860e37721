"""Mail over SMTP; in development without a server it goes to the mailbox, in production without one nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from app.errors import DeliveryDeferredError, DeliveryError, MailUnavailableError
from app.messages.mailbox import Mailbox
from app.messages.mime import as_message
from app.messages.ports import Mail, Mailer
from app.settings import Settings

# For the connection, and for each answer of the server.
TIMEOUT_SECONDS = 20.0
SUBMISSION_PORT = 587
TLS_PORT = 465
# Replies from 500 on say no for good; 400 to 499 say not now.
REFUSED_FROM = 500


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed in; ``start_tls`` None takes encryption when it is offered, True refuses to go without."""

    hostname: str
    port: int
    username: str | None
    password: str | None
    use_tls: bool
    start_tls: bool | None


def smtp_server(url: str) -> SmtpServer:
    """Read ``smtp://user:password@host:port`` or ``smtps://...``; raises ValueError.

    Without TLS a password only goes to this machine, so with one STARTTLS is required; ``?starttls=required`` asks
    for the same without a password, ``?starttls=optional`` allows a network that is trusted.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must be smtp://host:port or smtps://host:port")
    wish = parse_qs(parts.query).get("starttls", [""])[0]
    if wish not in {"", "required", "optional"}:
        raise ValueError("starttls may be required or optional")
    use_tls = parts.scheme == "smtps"
    required = wish == "required" or (not wish and bool(parts.username) and not is_loopback(parts.hostname))
    return SmtpServer(
        hostname=parts.hostname,
        port=parts.port or (TLS_PORT if use_tls else SUBMISSION_PORT),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        use_tls=use_tls,
        start_tls=False if use_tls else (True if required else None),
    )


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine."""
    try:
        return host.lower() == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class SmtpMailer:
    """Hands mail to an SMTP server, one connection a mail."""

    def __init__(self, settings: Settings) -> None:
        self._server = smtp_server(settings.smtp_url.get_secret_value())
        self._sender = settings.mail_from
        self._sender_name = settings.mail_from_name
        self._tls: ssl.SSLContext | None = None

    async def send(self, mail: Mail) -> None:
        """Return once the server has accepted the mail; raises DeliveryDeferredError or DeliveryError."""
        with _told_failures():
            async with await self._connected() as server:
                await server.send_message(as_message(mail, self._sender, self._sender_name))

    async def check(self) -> None:
        """Connect and sign in, and send nothing; raises as ``send`` does."""
        with _told_failures():
            async with await self._connected():
                pass

    async def _connected(self) -> Any:
        """A client that connects when it is entered."""
        # Reading the library and the machine's certificates takes files.
        client, self._tls = await asyncio.to_thread(_prepared, self._tls)
        where = self._server
        return client(
            hostname=where.hostname,
            port=where.port,
            username=where.username,
            password=where.password,
            use_tls=where.use_tls,
            start_tls=where.start_tls,
            tls_context=self._tls,
            timeout=TIMEOUT_SECONDS,
        )


class NoMailer:
    """Refuses every mail: production without a server."""

    async def send(self, mail: Mail) -> None:
        """Raise MailUnavailableError."""
        raise MailUnavailableError


def mailer_for(settings: Settings) -> Mailer:
    """How mail leaves an installation with these settings."""
    if settings.smtp_url.get_secret_value():
        return SmtpMailer(settings)
    if settings.environment == "development":
        return Mailbox(settings.state_dir, settings.mail_from, settings.mail_from_name)
    return NoMailer()


def _prepared(tls: ssl.SSLContext | None) -> tuple[Any, ssl.SSLContext]:
    import aiosmtplib

    return aiosmtplib.SMTP, tls or ssl.create_default_context()


@contextlib.contextmanager
def _told_failures() -> Iterator[None]:
    """Say of whatever kept a mail from leaving whether it may pass."""
    try:
        yield
    except Exception as failure:
        if (told := _told(failure)) is None:
            raise
        raise told from None


def _told(failure: Exception) -> DeliveryError | None:
    import aiosmtplib

    if isinstance(failure, aiosmtplib.SMTPRecipientsRefused):
        failure = failure.recipients[0]
    if isinstance(failure, aiosmtplib.SMTPResponseException):
        reason = f"{failure.code} {' '.join(failure.message.split()).rstrip('.')}"
        return (DeliveryError if failure.code >= REFUSED_FROM else DeliveryDeferredError)(reason=reason)
    # Lost connections and time-outs of the library are among these.
    if isinstance(failure, OSError):
        return DeliveryDeferredError(reason=str(failure).rstrip(".") or type(failure).__name__)
    if isinstance(failure, aiosmtplib.SMTPException | ValueError):
        return DeliveryError(reason=str(failure).rstrip("."))
    return None
