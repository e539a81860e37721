"""One cache of compiled statements for the engines of all tests: compiling took a third of a short test's time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database import connections, schema


@contextlib.contextmanager
def statements_compiled_once() -> Iterator[None]:
    """Let engines of the same kind share their dialect, which is a part of the cache's keys, and their cache.

    Their pools and connections stay their own, and so does what listens to them.
    """
    first: dict[Hashable, AsyncEngine] = {}

    def sharing(make: Callable[..., AsyncEngine], kind: Callable[..., Hashable]) -> Callable[..., AsyncEngine]:
        def made(*given: Any, **options: Any) -> AsyncEngine:
            engine, key = make(*given, **options), kind(*given, **options)
            # A dialect asks the server at its engine's first connection; one that never had any knows nothing to share.
            if key not in first or not hasattr(first[key].dialect, "default_isolation_level"):
                first[key] = engine
            like = first[key].sync_engine
            engine.sync_engine.dialect, engine.sync_engine._compiled_cache = like.dialect, like._compiled_cache
            return engine

        return made

    with pytest.MonkeyPatch.context() as patched:
        for name in ("sqlite_engine", "postgres_engine"):
            make = sharing(
                getattr(connections, name), lambda settings, writes, name=name: (name, writes, settings.pooler is None)
            )
            patched.setattr(connections, name, make)
        make = sharing(schema.create_async_engine, lambda url, **options: ("schema", url.drivername))
        patched.setattr(schema, "create_async_engine", make)
        yield
