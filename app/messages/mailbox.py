"""The development mailbox: a folder of mail that every worker can read, for development without a mail server."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default as default_policy
from email.utils import parsedate_to_datetime
from pathlib import Path

from app.errors import DeliveryDeferredError
from app.messages.mime import as_message
from app.messages.ports import Mail

FOLDER = "mailbox"
SUFFIX = ".eml"
OWNER_ONLY = 0o700
OWNER_FILE = 0o600


@dataclass(frozen=True, slots=True)
class MailboxMessage:
    """A mail in the mailbox; ``at`` is in ISO 8601."""

    to: str
    subject: str
    text: str
    at: str


class Mailbox:
    """A mailer that stores mail on this machine, readable by its owner only."""

    def __init__(self, state_dir: Path, sender: str = "", sender_name: str = "") -> None:
        self._folder = state_dir / FOLDER
        self._sender, self._sender_name = sender, sender_name

    async def send(self, mail: Mail) -> None:
        """Put the mail into the folder; raises DeliveryDeferredError where that cannot be written."""
        message = as_message(mail, self._sender, self._sender_name).as_bytes()
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as failure:
            raise DeliveryDeferredError(reason=f"the mailbox cannot be written: {failure.strerror}") from failure

    async def messages(self, limit: int = 100) -> list[MailboxMessage]:
        """The newest messages, newest first."""
        return await asyncio.to_thread(self._read, limit)

    def _write(self, message: bytes) -> None:
        """Write a draft and rename it, so that readers of the folder never see half a message."""
        self._folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        draft = self._folder / f".{name}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_FILE), "wb") as file:
                file.write(message)
            draft.rename(self._folder / f"{name}{SUFFIX}")
        finally:
            draft.unlink(missing_ok=True)

    def _read(self, limit: int) -> list[MailboxMessage]:
        newest = sorted(self._folder.glob(f"[!.]*{SUFFIX}"), reverse=True)[:limit]
        return [_parse(path.read_bytes()) for path in newest]


def _parse(message: bytes) -> MailboxMessage:
    parsed = message_from_bytes(message, policy=default_policy)
    text = parsed.get_body(("plain",))
    return MailboxMessage(
        str(parsed["To"]),
        str(parsed["Subject"]),
        text.get_content() if text else "",
        parsedate_to_datetime(str(parsed["Date"])).isoformat(),
    )
