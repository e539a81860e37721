"""A request was sent again with the same Idempotency-Key, and cannot have the answer of the first one."""

from __future__ import annotations

from app.errors.conflicts import ConflictError


class IdempotencyConflictError(ConflictError):
    """This Idempotency-Key was used with another request.

    Use a new key for each different request.
    """

    code = "idempotency_conflict"


class IdempotencyRunningError(ConflictError):
    """The first request with this Idempotency-Key is still running.

    Wait a moment, then repeat the request to get its answer.
    """

    code = "idempotency_running"


class IdempotencyLostError(IdempotencyRunningError):
    """This request stood still for so long that its Idempotency-Key was given to a repeat of it; nothing was changed.

    Wait a moment, then repeat the request to get the answer of that one.
    """


class IdempotencyAnswerLostError(ConflictError):
    """The first request with this Idempotency-Key was carried out, but its answer was lost when a server failed.

    Look for what it has created; to create another one, use a new key.
    """

    code = "idempotency_answer_lost"
