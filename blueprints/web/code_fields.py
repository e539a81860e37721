"""Activation codes as operators and their tenants are answered, once they were shown in clear."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from app.contract.camel import AS_NAMED, CAMEL
from app.services.figures.totals import Page
from app.services.licensing.code_list import ListedCode

STATUSES = ("active", "expired", "used", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAnswer:
    """A code after its creation: its text is shown once and stored nowhere."""

    __pydantic_config__ = CAMEL
    id: int
    code: Annotated[None, Field(description="Always null.")] = None
    hint: Annotated[str, Field(description="The last four characters.")]
    tenant: str
    tenant_slug: str
    label: str | None
    status: str
    expires_at: datetime | None
    used_at: datetime | None
    created_at: datetime
    use_count: int
    max_uses: int

    @classmethod
    def of(cls, code: ListedCode) -> CodeAnswer:
        """The answer about a code of the list."""
        return cls(**code._asdict())


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePage:
    """A page of codes; where the total is capped, there are more."""

    __pydantic_config__ = AS_NAMED
    codes: list[CodeAnswer]
    total: int
    total_is_capped: bool
    page: int
    page_size: int
    total_pages: int

    @classmethod
    def of(cls, listed: Page[ListedCode], page: int, page_size: int) -> CodePage:
        """The answer about a page of the list."""
        return cls(
            codes=[CodeAnswer.of(code) for code in listed.rows],
            total=listed.total.total,
            total_is_capped=listed.total.is_capped,
            page=page,
            page_size=page_size,
            total_pages=listed.total.pages(page_size),
        )
