"""The root of the error tree, and how a class becomes a message."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, ClassVar


class PortalError(Exception):
    """Something went wrong on our side; it has been recorded.

    Try again, and quote the request id if it happens again.
    """

    code: ClassVar[str] = "internal_server_error"
    status: ClassVar[int] = 500

    def __init__(self, **values: Any) -> None:
        self.values = values
        super().__init__(self.detail)

    @classmethod
    @cache
    def paragraphs(cls) -> tuple[str, str]:
        """The message and the remedy as written, with their braces; the remedy may be empty."""
        message, _, remedy = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
        return " ".join(message.split()), " ".join(remedy.split())

    @property
    def message(self) -> str:
        """What happened, for the person who reads the answer."""
        return self.paragraphs()[0].format(**self.values)

    @property
    def remedy(self) -> str:
        """What would free the caller, or an empty string."""
        return self.paragraphs()[1].format(**self.values)

    @property
    def detail(self) -> str:
        """Message and remedy in one string, as the front ends show it."""
        return f"{self.message} {self.remedy}".strip()

    @property
    def title(self) -> str:
        """The code as words, the same for every occurrence."""
        return self.code.replace("_", " ").capitalize()
