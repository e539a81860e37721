"""A model whose every HTTP attempt is paid: reserved before it leaves, settled after it has ended."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Collection
from typing import Any, Final

from pydantic_ai._run_context import RunContext
from pydantic_ai.exceptions import ModelServerError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from app.providers.failures import UnreadableAnswerError, end_of, is_of_a_library, told
from app.providers.metering import Meter, Outcome, Usage
from app.providers.wire import Attempt

# More than any model takes or writes in a call; who reports more is not believed, and all that was reserved counts.
MAX_TOKENS: Final = 10**9


class Metered(WrapperModel):
    """Each request is one attempt, because the libraries below retry nothing."""

    def __init__(
        self,
        wrapped: Model,
        provider: str,
        meter: Meter,
        *,
        max_tokens: int,
        timeout_seconds: float,
        secrets: Collection[str],
    ) -> None:
        super().__init__(wrapped)
        self._provider_name = provider
        self._meter = meter
        self._max_tokens = max_tokens
        self._timeout_seconds = timeout_seconds
        self._secrets = secrets

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The provider's answer; raises its failures, and whatever the meter raises instead of letting it leave."""
        settings = self._bounded(model_settings)
        attempt = self._attempt(settings)
        try:
            with attempt.current():
                answer = await super().request(messages, settings, model_request_parameters)
        except BaseException as failure:
            await self._fail(attempt, failure)
            raise
        await attempt.end(_answered(answer))
        return answer

    @contextlib.asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """The provider's answer as it comes; a stream that ends without saying why is a failure."""
        settings = self._bounded(model_settings)
        attempt = self._attempt(settings)
        async with contextlib.AsyncExitStack() as stack:
            try:
                with attempt.current():
                    opened = super().request_stream(messages, settings, model_request_parameters, run_context)
                    stream = await stack.enter_async_context(opened)
                yield stream
                answer = stream.get()
                if answer.finish_reason is None:
                    raise ModelServerError(self.model_name, _broken(answer))  # noqa: TRY301 - settled as any failure
            except BaseException as failure:
                await self._fail(attempt, failure)
                raise
            await attempt.end(_answered(answer))

    def _bounded(self, settings: ModelSettings | None) -> ModelSettings:
        """The settings with a bound of the answer, without which no worst case is known."""
        bound = min((settings or {}).get("max_tokens") or self._max_tokens, self._max_tokens)
        return {**(settings or {}), "max_tokens": bound}

    def _attempt(self, settings: ModelSettings) -> Attempt:
        return Attempt(self._meter, self._provider_name, self.model_name, settings["max_tokens"], self._timeout_seconds)

    async def _fail(self, attempt: Attempt, failure: BaseException) -> None:
        """Settle an attempt that has failed; raises what tells more than the failure, where something does."""
        outcome = Outcome(end_of(failure, has_left=attempt.has_left), 0, error=told(failure, self._secrets))
        await attempt.end(outcome)
        if attempt.refusal is not None:
            raise attempt.refusal from None
        if attempt.has_left and is_of_a_library(failure):
            message = f"the answer cannot be read: {type(failure).__name__}"
            raise UnreadableAnswerError(self.model_name, message) from failure


def _broken(answer: ModelResponse) -> str:
    return "the stream was not read to its end" if answer.state != "complete" else "the stream ended without a reason"


def _answered(answer: ModelResponse) -> Outcome:
    usage = _usage(answer.usage)
    return Outcome("answered" if usage else "unconfirmed", 0, usage, answer.text or "")


def _usage(reported: RequestUsage) -> Usage | None:
    """What the provider reports; None where it reports nothing, or what no call can have used.

    The library would count nothing as nothing used.
    """
    usage = Usage(
        reported.input_tokens, reported.output_tokens, reported.cache_read_tokens, reported.cache_write_tokens
    )
    if reported.unmeasured_requests or not (usage.input_tokens or usage.output_tokens):
        return None
    return usage if all(0 <= tokens <= MAX_TOKENS for tokens in usage) else None
