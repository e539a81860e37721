"""What a failed attempt means: whether it has cost anything, whether to try again, and how it is told of."""

from __future__ import annotations

from collections.abc import Collection

from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
)

from app.providers.metering import End

# Anthropic's way of saying that it is overloaded and has done nothing.
OVERLOADED = 529
# Of the client errors this one alone may come after some work.
REQUEST_TIMEOUT = 408
MAX_TOLD = 500
LIBRARIES = frozenset({"pydantic_ai", "openai", "anthropic", "google"})
HIDDEN = "[key]"


class UnreadableAnswerError(ModelServerError):
    """The provider has answered in a form that its library does not understand."""


def end_of(failure: BaseException, *, has_left: bool) -> End:
    """Whether a failed attempt was sent, was refused, or may have been worked on.

    An HTTP answer of 4xx says that the provider has refused the request. One of 5xx does not say how far it came.
    """
    if not has_left:
        return "not_sent"
    if isinstance(failure, ModelHTTPError) and not failure.in_stream:
        status = failure.status_code
        if status == OVERLOADED or (400 <= status < 500 and status != REQUEST_TIMEOUT):
            return "refused"
    return "unconfirmed"


def is_lasting(failure: ModelAPIError) -> bool:
    """Whether the same request would fail again at the same provider, however often it is sent."""
    return isinstance(failure, ModelRequestRejectedError | ModelQuotaExceededError | UnreadableAnswerError)


def is_of_a_library(failure: BaseException) -> bool:
    """Whether a provider's library has stumbled over an answer, which it then tells by any of Python's own errors."""
    if not isinstance(failure, Exception) or isinstance(failure, AgentRunError):
        return False
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = "" if place is None else str(place.tb_frame.f_globals.get("__name__"))
    return name.partition(".")[0] in LIBRARIES


def told(failure: BaseException, secrets: Collection[str]) -> str:
    """The failure in one line, without any of the secrets: some providers repeat the key that they refuse."""
    text = " ".join(_text(failure).split())
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return text[:MAX_TOLD]


def _text(failure: BaseException) -> str:
    if not isinstance(failure, Exception):
        return "the call was cancelled"
    if isinstance(failure, ModelAuthenticationError):
        return "the provider refuses the key"
    if isinstance(failure, ModelHTTPError):
        return f"HTTP {failure.status_code}: {_message(failure)}"
    if isinstance(failure, ModelTimeoutError):
        return "the provider took too long"
    if isinstance(failure, ModelAPIError):
        return failure.message
    return f"{type(failure).__name__}: {failure}"


def _message(failure: ModelHTTPError) -> str:
    """The provider's own words, where its answer has them at the place where all three have them."""
    error = failure.body.get("error", failure.body) if isinstance(failure.body, dict) else failure.body
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "no reason given")
