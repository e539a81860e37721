"""One operation of a caller, whatever it comes by: paid for, then answered once or again and again."""

from __future__ import annotations

from functools import partial
from typing import Final

from graphql import OperationType

from app.context import Context
from app.execution.running import Answered, Asked, CountCost, Engine, Ready
from app.execution.subscribing import Subscription
from app.resolvers.context import GraphQLContext
from app.services.connections import caller_of

Kinds = frozenset[OperationType]
READING: Final[Kinds] = frozenset({OperationType.QUERY})
ANSWERED_ONCE: Final[Kinds] = frozenset({OperationType.QUERY, OperationType.MUTATION})
ALL: Final[Kinds] = frozenset(OperationType)
READING_AND_TOLD: Final[Kinds] = frozenset({OperationType.QUERY, OperationType.SUBSCRIPTION})


async def made_ready(engine: Engine, ctx: Context, asked: Asked, kinds: Kinds) -> Ready:
    """The operation, paid for by its caller; raises RefusedError."""
    may_introspect = ctx.runtime.settings.environment == "development" or ctx.session is None
    return await engine.ready(asked, kinds=kinds, may_introspect=may_introspect, count_cost=_counting(ctx))


async def run(engine: Engine, ctx: Context, ready: Ready) -> Answered:
    """What a query or a mutation answers."""
    return await engine.run(ready, GraphQLContext.of(ctx), ctx.request_id)


async def subscribed(engine: Engine, ctx: Context, ready: Ready) -> Subscription:
    """A subscription that has begun; raises RefusedError."""
    return await Subscription.begin(
        engine,
        ready,
        new_context=partial(GraphQLContext.of, ctx),
        count_cost=_counting(ctx),
        request_id=ctx.request_id,
    )


def _counting(ctx: Context) -> CountCost:
    async def count_cost(cost: int) -> int | None:
        allowance = await ctx.runtime.rate_limits.count_cost(caller_of(ctx.actor), cost)
        return None if allowance is None else allowance.remaining

    return count_cost
