"""One prompt, and its answer as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelAPIError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from app.providers.failures import told
from app.providers.guarded import CoolingError
from app.providers.metering import NobodyAnsweredError


class Told(NamedTuple):
    """What a provider has answered; not complete where it was cut off, at its most tokens or by a filter."""

    text: str
    is_complete: bool


async def ask(
    model: Model,
    prompt: str,
    instructions: str,
    settings: ModelSettings,
    secrets: Collection[str],
    on_text: Callable[[str], None] | None = None,
) -> Told:
    """The answer as text, which ``on_text`` gets in pieces as it comes.

    Raises NobodyAnsweredError, whose reasons contain none of the secrets.
    """
    messages: list[ModelMessage] = [ModelRequest.user_text_prompt(prompt, instructions=instructions or None)]
    try:
        if on_text is None:
            answer = await model_request(model, messages, model_settings=settings)
        else:
            async with model_request_stream(model, messages, model_settings=settings) as stream:
                async for event in stream:
                    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                        on_text(event.part.content)
                    elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                        on_text(event.delta.content_delta)
            answer = stream.get()
    except FallbackExceptionGroup as failures:
        raise _nobody(
            [failure for failure in failures.exceptions if isinstance(failure, ModelAPIError)], secrets
        ) from None
    except ModelAPIError as failure:
        raise _nobody([failure], secrets) from None
    return Told(answer.text or "", answer.finish_reason == "stop")


def _nobody(failures: list[ModelAPIError], secrets: Collection[str]) -> NobodyAnsweredError:
    """The last failure of each provider in words; with a time to wait if all of them are left alone."""
    reasons = [f"{failure.model_name}: {told(failure, secrets)}" for failure in failures]
    waits = [failure.retry_after or 0 for failure in failures if isinstance(failure, CoolingError)]
    return NobodyAnsweredError(reasons, math.ceil(min(waits)) if len(waits) == len(failures) else None)
