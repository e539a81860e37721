"""Whole numbers in texts: each has one text, so that an address or an id names what it names in one way only."""

from __future__ import annotations

import re

from sql.bounds import MAX_ID

# Digits alone: no sign, no zero in front, no underscores, nor the digits of other scripts, all of which int() reads.
NUMERAL = re.compile(r"0|[1-9][0-9]*")
_MAX_DIGITS = len(str(MAX_ID))


def read_numeral(text: str, maximum: int = MAX_ID) -> int:
    """The number that these digits are; raises ValueError for any other text, and for more than ``maximum``."""
    if len(text) > _MAX_DIGITS or NUMERAL.fullmatch(text) is None or (number := int(text)) > maximum:
        raise ValueError("is not a whole number in digits alone")
    return number


def is_numeral(text: str) -> bool:
    """Whether a text is a whole number in digits alone, behind a minus if it is below zero."""
    return NUMERAL.fullmatch(text.removeprefix("-")) is not None and text != "-0"
