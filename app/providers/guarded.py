"""A model that is tried again where that may help, and left alone for a while where it does not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

from pydantic_ai._run_context import RunContext
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelQuotaExceededError,
    ModelServerError,
    ModelUnavailableError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from app.providers.failures import is_lasting

# A provider that asks for more patience is left alone instead, and the next one is tried.
MAX_WAIT_SECONDS = 30.0


class CoolingError(ModelUnavailableError):
    """The provider has failed a moment ago and was not asked."""


class Patience(NamedTuple):
    """How often a provider is tried again, after how many seconds first (then twice as many), and how long it cools."""

    retries: int
    first_wait_seconds: float
    cooldown_seconds: float


class Guard:
    """What a process knows of one provider: until when it is left alone."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self._cool_until = 0.0

    @property
    def cools_for(self) -> float:
        """Seconds that the provider is still left alone."""
        return max(0.0, self._cool_until - time.monotonic())

    def cool(self, seconds: float) -> None:
        """Leave the provider alone for so long."""
        self._cool_until = max(self._cool_until, time.monotonic() + seconds)

    def warm(self) -> None:
        """It has answered."""
        self._cool_until = 0.0


class Guarded(WrapperModel):
    """Retries with the provider's own waits; what is raised in the end lets the next provider be tried."""

    def __init__(
        self, wrapped: Model, guard: Guard, patience: Patience, on_key_refused: Callable[[str], Awaitable[None]]
    ) -> None:
        super().__init__(wrapped)
        self._guard = guard
        self._patience = patience
        self._on_key_refused = on_key_refused

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The first answer of one of the attempts; raises ModelAPIError for the last failure."""
        for failed in range(self._patience.retries + 1):
            self._refuse_while_it_cools()
            try:
                answer = await super().request(messages, model_settings, model_request_parameters)
            except (ModelAPIError, UnexpectedModelBehavior) as failure:
                await self._wait(failure, failed)
                continue
            self._guard.warm()
            return answer
        raise AssertionError("the last attempt raises or answers")

    @contextlib.asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As ``request``; what fails after it has begun to answer is not tried again, because somebody has read it."""
        async with contextlib.AsyncExitStack() as stack:
            for failed in range(self._patience.retries + 1):
                self._refuse_while_it_cools()
                opened = super().request_stream(messages, model_settings, model_request_parameters, run_context)
                try:
                    stream = await stack.enter_async_context(opened)
                except (ModelAPIError, UnexpectedModelBehavior) as failure:
                    await self._wait(failure, failed)
                    continue
                break
            try:
                yield stream
            except UnexpectedModelBehavior as failure:
                raise self._as_api_error(failure) from failure
            self._guard.warm()

    def _refuse_while_it_cools(self) -> None:
        if seconds := self._guard.cools_for:
            message = f"{self._guard.provider} has failed and is left alone for {seconds:.0f} more seconds"
            raise CoolingError(self.model_name, message, retry_after=seconds)

    async def _wait(self, failure: ModelAPIError | UnexpectedModelBehavior, failed: int) -> None:
        """Return when the next attempt may begin; raises the failure if there is none."""
        cause = self._as_api_error(failure)
        if isinstance(cause, ModelAuthenticationError):
            await self._on_key_refused(self._guard.provider)
            raise cause
        if isinstance(cause, ModelQuotaExceededError):
            self._guard.cool(self._patience.cooldown_seconds)
        if is_lasting(cause):
            raise cause
        seconds = self._patience.first_wait_seconds * 2**failed if cause.retry_after is None else cause.retry_after
        if failed == self._patience.retries or seconds > MAX_WAIT_SECONDS:
            self._guard.cool(max(self._patience.cooldown_seconds, cause.retry_after or 0))
            raise cause
        await asyncio.sleep(seconds)

    def _as_api_error(self, failure: ModelAPIError | UnexpectedModelBehavior) -> ModelAPIError:
        """What the provider has answered and nobody can read is as if it had failed: another one may do better."""
        if isinstance(failure, ModelAPIError):
            return failure
        return ModelServerError(self.model_name, f"the answer cannot be read: {failure.message}")
