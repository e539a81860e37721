"""The providers of a call in their order, as one model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel

from app.providers.clients import Candidate, Clients
from app.providers.guarded import Guarded, Patience
from app.providers.metered import Metered
from app.providers.metering import Meter


def chain(
    clients: Clients,
    candidates: Sequence[Candidate],
    meter: Meter,
    patience: Patience,
    *,
    max_tokens: int,
    secrets: Collection[str],
    on_key_refused: Callable[[str], Awaitable[None]],
) -> Model:
    """One model that asks the candidates in turn until one answers, each attempt metered.

    What is logged of a failure contains none of the secrets. What the meter raises instead of letting an attempt leave
    ends the whole call: another provider has the same budget.
    """
    guarded = [
        Guarded(
            Metered(
                clients.model(candidate),
                candidate.access.provider,
                meter,
                max_tokens=max_tokens,
                timeout_seconds=clients.timeout_seconds,
                secrets=secrets,
            ),
            clients.guard(candidate.access.provider),
            patience,
            on_key_refused,
        )
        for candidate in candidates
    ]
    return FallbackModel(*guarded)
