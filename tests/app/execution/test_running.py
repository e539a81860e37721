"""Running an operation: one that is canceled leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from pathlib import Path
from typing import Any

from graphql import GraphQLObjectType, OperationType, build_schema
from support.databases import settings_for

from app.execution.running import Asked, Engine

SDL = """directive @listSize(assumedSize: Int) on FIELD_DEFINITION
type Query { one: Node! two: Node! }
type Node { one: Node! two: Node! many: [Node!]! @listSize(assumedSize: 2) id: Int! }"""
DOCUMENT = (
    "{ one { ...a } two { ...a } } fragment a on Node { one { id } two { many { one { id } } } many { two { id } id } }"
)


def engine(folder: Path) -> Engine:
    """Runs documents whose every field answers after a while."""
    schema = build_schema(SDL)

    async def resolve(of: Any, info: Any) -> Any:
        await asyncio.sleep(0)
        return {"id": 1, "many": [object(), object()]}.get(info.field_name, object())

    for kind in ("Query", "Node"):
        bound = schema.type_map[kind]
        assert isinstance(bound, GraphQLObjectType)
        for field in bound.fields.values():
            field.resolve = resolve
    return Engine(schema, settings_for("", folder))


async def test_an_operation_that_is_canceled_leaves_nothing_that_python_warns_of(tmp_path: Path) -> None:
    runs = engine(tmp_path)

    async def free(cost: int) -> None:
        return None

    ready = await runs.ready(
        Asked(DOCUMENT), kinds=frozenset({OperationType.QUERY}), may_introspect=False, count_cost=free
    )
    canceled = 0
    # The collector has to look at what a canceled operation leaves, and not at all that was imported.
    gc.freeze()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for steps in range(100):
            running = asyncio.create_task(runs.run(ready, None, None))
            for _ in range(steps):
                await asyncio.sleep(0)
            if running.done():
                break
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            canceled += 1
            gc.collect()

    assert [str(one.message) for one in warned] == []
    assert canceled > 10
    assert "errors" not in running.result().body
