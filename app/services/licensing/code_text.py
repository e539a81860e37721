"""The text of an activation code: how it is made, read back and hinted at."""

from __future__ import annotations

import secrets

from app import typed_text

# No I, O, 0 and 1: they are confused when read aloud or typed. Sixteen characters of 32 are 80 bits.
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
GROUPS = 4
GROUP_LENGTH = 4
LENGTH = GROUPS * GROUP_LENGTH


def new_code() -> str:
    """A random code, written as ``XXXX-XXXX-XXXX-XXXX``."""
    return _grouped("".join(secrets.choice(ALPHABET) for _ in range(LENGTH)))


def normalize(text: str) -> str | None:
    """The code as it was generated, whatever case, spaces and dashes a person typed; None if it cannot be one."""
    plain = typed_text.joined(text).upper()
    if len(plain) != LENGTH or not set(plain) <= set(ALPHABET):
        return None
    return _grouped(plain)


def hint(code: str) -> str:
    """The last four characters, by which a person tells codes apart after they were shown once."""
    return code[-GROUP_LENGTH:]


def _grouped(plain: str) -> str:
    return "-".join(plain[start : start + GROUP_LENGTH] for start in range(0, LENGTH, GROUP_LENGTH))
