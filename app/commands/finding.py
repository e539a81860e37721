"""What a check of the doctor answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failure"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and what came of it."""

    check: str
    status: Status
    detail: str
