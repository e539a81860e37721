"""What is told of each HTTP attempt, before it leaves and after it has ended; imports no provider's library."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

# What the bytes of a body do not show: special tokens around each message, and instructions that a provider adds.
TOKENS_BESIDE_THE_BODY = 2048

# not_sent: nothing has left this process. refused: the provider says that it has not worked on it. answered: it says
# what was used. unconfirmed: it may have worked, and does not say.
End = Literal["not_sent", "refused", "answered", "unconfirmed"]


class Plan(NamedTuple):
    """An attempt that is about to leave: the most tokens that it may take and be answered with."""

    provider: str
    model: str
    input_bound: int
    max_tokens: int


class Usage(NamedTuple):
    """The tokens that a provider reports; cached and written ones are among the input tokens."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0


class Outcome(NamedTuple):
    """How an attempt has ended; ``usage`` is there for ``answered``, ``error`` for everything that gave no answer."""

    end: End
    duration_ms: int
    usage: Usage | None = None
    text: str = ""
    error: str | None = None


class NobodyAnsweredError(Exception):
    """All providers have failed, each for a reason; ``retry_after`` seconds where all of them are left alone."""

    def __init__(self, reasons: list[str], retry_after: int | None) -> None:
        self.reasons = reasons
        self.retry_after = retry_after
        super().__init__("; ".join(reasons))


class Meter(Protocol):
    """Pays for attempts: each is begun before it leaves and ended once."""

    async def begin(self, plan: Plan) -> Any:
        """Hold the most that the attempt may cost; answers what ``end`` is given, or raises what stops the call."""

    async def end(self, begun: Any, outcome: Outcome) -> None:
        """Take what the attempt has cost; it goes on when its caller is cancelled."""


def input_bound(body_bytes: int) -> int:
    """The most tokens that a body of so many UTF-8 bytes can be: no tokenizer makes more than one of a byte."""
    return body_bytes + TOKENS_BESIDE_THE_BODY
