"""The text of an activation code: how it is made, read back and hinted at."""

from __future__ import annotations

import secrets

# No I, O, 0 and 1: they are confused when read aloud or typed. Sixteen characters of 32 are 80 bits.
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
GROUPS = 4
GROUP_LENGTH = 4
LENGTH = GROUPS * GROUP_LENGTH

_SEPARATORS = str.maketrans("", "", "- \t\r\n\u00a0\u2010\u2011\u2012\u2013\u2014")


def new_code() -> str:
    """A random code, written as ``XXXX-XXXX-XXXX-XXXX``."""
    return _grouped("".join(secrets.choice(ALPHABET) for _ in range(LENGTH)))


def normalize(text: str) -> str | None:
    """The code as it was generated, whatever case, spaces and dashes a person typed; None if it cannot be one."""
    plain = text.translate(_SEPARATORS).upper()
    if len(plain) != LENGTH or not set(plain) <= set(ALPHABET):
        return None
    return _grouped(plain)


def hint(code: str) -> str:
    """The last four characters, by which a person tells codes apart after they were shown once."""
    return code[-GROUP_LENGTH:]


def _grouped(plain: str) -> str:
    return "-".join(plain[start : start + GROUP_LENGTH] for start in range(0, LENGTH, GROUP_LENGTH))
