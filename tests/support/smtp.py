"""A real SMTP server that a test looks into: it keeps what it takes, or refuses as it is told."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session


@dataclass
class Post:
    """What arrived at a server, and what it answers next."""

    port: int = 0
    arrived: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    signed_in: list[tuple[bytes, bytes]] = field(default_factory=list)
    # Answered to the next messages instead of taking them.
    refusals: list[str] = field(default_factory=list)
    # Refuse every message and quote what it says, as some servers do; what was refused so.
    is_quoting: bool = False
    quoted: list[str] = field(default_factory=list)
    password: str = "right"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusals:
            return self.refusals.pop(0)
        message = message_from_bytes(envelope.content or b"", policy=default)
        assert isinstance(message, EmailMessage)
        if self.is_quoting and (text := message.get_body(("plain",))):
            self.quoted.append(text.get_content())
            return f"550 not here: {text.get_content().splitlines()[0]}"
        self.arrived.append(message)
        self.recipients += envelope.rcpt_tos
        return "250 taken"

    def authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, shown: Any) -> AuthResult:
        assert isinstance(shown, LoginPassword)
        self.signed_in.append((shown.login, shown.password))
        return AuthResult(success=shown.password == self.password.encode(), handled=False)


@contextlib.contextmanager
def smtp_server(*, with_password: bool = False, password: str = "right") -> Iterator[Post]:
    """A server on a port of its own, in a thread of its own."""
    post = Post(port=free_port(), password=password)
    options: dict[str, Any] = {"authenticator": post.authenticate, "auth_require_tls": False} if with_password else {}
    controller = Controller(post, hostname="127.0.0.1", port=post.port, **options)
    controller.start()
    try:
        yield post
    finally:
        controller.stop()


@contextlib.asynccontextmanager
async def smtp_elsewhere(**options: Any) -> AsyncIterator[Post]:
    """The same, for tests whose event loop must not be blocked by starting and stopping it."""
    import asyncio

    stack = contextlib.ExitStack()
    post = await asyncio.to_thread(stack.enter_context, smtp_server(**options))
    try:
        yield post
    finally:
        await asyncio.to_thread(stack.close)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
