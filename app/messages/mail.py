"""Mail over SMTP. Without a server, development puts mail into the mailbox, and production sends none."""

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

# For the connection, and for each reply of the server.
TIMEOUT_SECONDS = 20.0
SUBMISSION_PORT = 587
TLS_PORT = 465
# SMTP replies from 500 on are permanent failures; 400 to 499 are transient ones.
PERMANENT_FROM = 500


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The SMTP server; ``start_tls`` None uses STARTTLS if the server offers it, True requires it."""

    hostname: str
    port: int
    username: str | None
    password: str | None
    use_tls: bool
    start_tls: bool | None


def smtp_server(url: str) -> SmtpServer:
    """Read ``smtp://user:password@host:port`` or ``smtps://...``; raises ValueError.

    A password is sent without TLS only to this machine, so a URL with a password requires STARTTLS for any other host.
    ``?starttls=required`` requires it without a password too; ``?starttls=optional`` lifts it for a trusted network.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must be smtp://host:port or smtps://host:port")
    starttls = parse_qs(parts.query).get("starttls", [""])[0]
    if starttls not in {"", "required", "optional"}:
        raise ValueError("starttls may be required or optional")
    use_tls = parts.scheme == "smtps"
    required = starttls == "required" or (not starttls and bool(parts.username) and not is_loopback(parts.hostname))
    return SmtpServer(
        hostname=parts.hostname,
        port=parts.port or (TLS_PORT if use_tls else SUBMISSION_PORT),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        use_tls=use_tls,
        start_tls=False if use_tls else (True if required else None),
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or an address is this machine."""
    try:
        return host.lower() == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class SmtpMailer:
    """Sends mail to an SMTP server, one connection per mail."""

    def __init__(self, settings: Settings) -> None:
        self._server = smtp_server(settings.smtp_url.get_secret_value())
        self._sender = settings.mail_from
        self._sender_name = settings.mail_from_name
        self._tls: ssl.SSLContext | None = None

    async def send(self, mail: Mail) -> None:
        """Return once the server has accepted the mail; raises DeliveryDeferredError or DeliveryError."""
        with _delivery_errors():
            async with await self._client() as server:
                await server.send_message(as_message(mail, self._sender, self._sender_name))

    async def check(self) -> None:
        """Connect and sign in without sending anything; raises the same errors as ``send``."""
        with _delivery_errors():
            async with await self._client():
                pass

    async def _client(self) -> Any:
        """An SMTP client, which connects as an async context manager."""
        # In a thread, because importing the library and loading the machine's certificates read files.
        client_class, self._tls = await asyncio.to_thread(_load_client, self._tls)
        server = self._server
        return client_class(
            hostname=server.hostname,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.use_tls,
            start_tls=server.start_tls,
            tls_context=self._tls,
            timeout=TIMEOUT_SECONDS,
        )


class NoMailer:
    """Refuses every mail, for production without a server."""

    async def send(self, mail: Mail) -> None:
        """Raise MailUnavailableError."""
        raise MailUnavailableError


def mailer_for(settings: Settings) -> Mailer:
    """The mailer for these settings."""
    if settings.smtp_url.get_secret_value():
        return SmtpMailer(settings)
    if settings.environment == "development":
        return Mailbox(settings.state_dir, settings.mail_from, settings.mail_from_name)
    return NoMailer()


def _load_client(tls: ssl.SSLContext | None) -> tuple[Any, ssl.SSLContext]:
    import aiosmtplib

    return aiosmtplib.SMTP, tls or ssl.create_default_context()


@contextlib.contextmanager
def _delivery_errors() -> Iterator[None]:
    """Raise DeliveryDeferredError for a failure that may pass, DeliveryError for a permanent one."""
    try:
        yield
    except Exception as failure:
        if (error := _delivery_error(failure)) is None:
            raise
        raise error from None


def _delivery_error(failure: Exception) -> DeliveryError | None:
    import aiosmtplib

    if isinstance(failure, aiosmtplib.SMTPRecipientsRefused):
        failure = failure.recipients[0]
    if isinstance(failure, aiosmtplib.SMTPResponseException):
        reason = f"{failure.code} {' '.join(failure.message.split()).rstrip('.')}"
        return (DeliveryError if failure.code >= PERMANENT_FROM else DeliveryDeferredError)(reason=reason)
    # The library's lost connections and time-outs are OSErrors too.
    if isinstance(failure, OSError):
        return DeliveryDeferredError(reason=str(failure).rstrip(".") or type(failure).__name__)
    if isinstance(failure, aiosmtplib.SMTPException | ValueError):
        return DeliveryError(reason=str(failure).rstrip("."))
    return None
