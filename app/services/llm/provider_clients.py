"""The providers of an installation: which have a key, and this process's clients of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from app.context import Context
from app.runtime import Runtime
from app.services.llm.setting_values import Provider
from app.settings import Settings

if TYPE_CHECKING:
    from app.providers.clients import Candidate, Clients

# How the settings of a provider begin: Gemini's are named after its vendor.
VENDORS: Final[dict[Provider, str]] = {"gemini": "google", "openai": "openai", "anthropic": "anthropic"}

_clients: WeakKeyDictionary[Runtime, Clients] = WeakKeyDictionary()


def has_access(settings: Settings, provider: Provider) -> bool:
    """Whether a provider can be called: with a key, or an OpenAI-compatible server of one's own without."""
    key, base_url = _access(settings, provider)
    return bool(key) or (provider == "openai" and bool(base_url))


def address_of(settings: Settings, provider: Provider) -> str:
    """Where a provider is called instead of at its own address; empty for its own."""
    return _access(settings, provider)[1]


def is_left_alone(ctx: Context, provider: Provider) -> bool:
    """Whether this process asks a provider nothing for a while, because it has failed."""
    clients = _clients.get(ctx.runtime)
    return clients is not None and clients.guard(provider).cools_for > 0


def keys_of(settings: Settings) -> frozenset[str]:
    """The keys of all providers, which are never told."""
    return frozenset(key for provider in VENDORS if (key := _access(settings, provider)[0]))


async def candidates_of(ctx: Context, models: Mapping[Provider, str]) -> tuple[Clients, list[Candidate]]:
    """This process's clients, and the providers with their models; what is new is loaded in a thread.

    The providers' libraries take seconds to import, and a client reads its certificates from the disk.
    """
    settings, known = ctx.runtime.settings, _clients.get(ctx.runtime)
    if known is not None:
        candidates = _candidates(settings, models)
        if not known.has_models(candidates):
            await asyncio.to_thread(known.load_models, candidates)
        return known, candidates
    made, candidates = await asyncio.to_thread(_loaded, settings, models)
    clients = _clients.setdefault(ctx.runtime, made)
    if clients is made:
        ctx.runtime.at_close(made.aclose)
    else:
        # Another call was first, and what this one has loaded is not needed.
        await made.aclose()
        await asyncio.to_thread(clients.load_models, candidates)
    return clients, candidates


def _loaded(settings: Settings, models: Mapping[Provider, str]) -> tuple[Clients, list[Candidate]]:
    from app.providers.clients import Clients

    clients, candidates = Clients(settings.provider_timeout_seconds), _candidates(settings, models)
    clients.load_models(candidates)
    return clients, candidates


def _candidates(settings: Settings, models: Mapping[Provider, str]) -> list[Candidate]:
    from app.providers.clients import Access, Candidate

    found = []
    for provider, model in models.items():
        key, base_url = _access(settings, provider)
        found.append(Candidate(Access(provider, key, base_url), model))
    return found


def _access(settings: Settings, provider: Provider) -> tuple[str, str]:
    vendor = VENDORS[provider]
    return getattr(settings, f"{vendor}_api_key").get_secret_value(), getattr(settings, f"{vendor}_base_url")
