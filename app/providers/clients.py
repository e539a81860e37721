"""The providers' clients of one event loop: one HTTP client, and a model of each that was used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic_ai.models import Model

from app.providers.guarded import Guard
from app.providers.wire import metered_client

ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
# A server that needs no key gets this one, because the library sends none that is empty.
NO_KEY = "none"
# How OpenAI's own models are named: they take max_completion_tokens wherever they are called.
OPENAI_MODELS = ("gpt-", "o1", "o3", "o4")
MAX_MODELS = 200


class Access(NamedTuple):
    """How a provider is reached; without an address at its own."""

    provider: str
    api_key: str
    base_url: str


class Candidate(NamedTuple):
    """A provider that may be asked, and the model there."""

    access: Access
    model: str


class Clients:
    """One per event loop: a client that was used on one loop fails on another."""

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._http = metered_client(timeout_seconds)
        self._models: dict[Candidate, Model] = {}
        self._guards: dict[str, Guard] = {}

    def model(self, candidate: Candidate) -> Model:
        """A provider's model, the same one for each call; its library neither retries nor reads the environment."""
        if (model := self._models.get(candidate)) is None:
            if len(self._models) >= MAX_MODELS:
                self._models.clear()
            model = self._models[candidate] = self._new(*candidate)
        return model

    def has_models(self, candidates: Sequence[Candidate]) -> bool:
        """Whether all of them were loaded."""
        return all(candidate in self._models for candidate in candidates)

    def load_models(self, candidates: Sequence[Candidate]) -> None:
        """Load them, in a thread: the first one of a provider imports its library, which takes seconds."""
        for candidate in candidates:
            self.model(candidate)

    def guard(self, provider: str) -> Guard:
        """What this process knows of a provider's failures."""
        return self._guards.setdefault(provider, Guard(provider))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def _new(self, access: Access, name: str) -> Model:
        base_url = access.base_url or ADDRESSES[access.provider]
        if access.provider == "openai":
            return self._openai(access, name, base_url)
        if access.provider == "anthropic":
            return self._anthropic(access, name, base_url)
        return self._gemini(access, name, base_url)

    def _openai(self, access: Access, name: str, base_url: str) -> Model:
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        client = AsyncOpenAI(api_key=access.api_key or NO_KEY, base_url=base_url, http_client=self._http, max_retries=0)
        # A stream that breaks off without an error looks complete but for its reason.
        profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
        if urlsplit(base_url).hostname == urlsplit(ADDRESSES["openai"]).hostname:
            return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client), profile=profile)
        profile["openai_chat_supports_max_completion_tokens"] = name.startswith(OPENAI_MODELS)
        return OpenAIChatModel(
            name, provider=OpenAICompatibleProvider("compatible", openai_client=client), profile=profile
        )

    def _anthropic(self, access: Access, name: str, base_url: str) -> Model:
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        client = AsyncAnthropic(api_key=access.api_key, base_url=base_url, http_client=self._http, max_retries=0)
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))

    def _gemini(self, access: Access, name: str, base_url: str) -> Model:
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        provider = GoogleProvider(api_key=access.api_key, base_url=base_url, http_client=self._http)
        return GoogleModel(name, provider=provider)
