"""Whether the server lives, whether it can work, and its figures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sanic.response import HTTPResponse

from app import errors
from app.access.callers import ANYONE
from app.context import Context
from app.services import readiness
from app.services.readiness import Readiness
from app.telemetry import metrics
from blueprints.web.operations import Api

api = Api("health")


@dataclass(frozen=True, slots=True)
class Health:
    """The process answers."""

    status: str = "ok"


@api.operation("GET", "/healthz", caller=ANYONE, answers=Health, asks_database=False)
async def healthz(ctx: Context) -> Health:
    """Whether this process answers; asks nothing else."""
    return Health()


@api.operation(
    "GET",
    "/readyz",
    caller=ANYONE,
    answers=Readiness,
    errors=(errors.SchemaBehindError,),
)
async def readyz(ctx: Context) -> Readiness:
    """Whether this process can do its work: the database answers and is at its migration, or at a later one.

    It also tells how many processes do background work, and how long an errand has waited for one; neither makes it
    unready, because devices are answered without them.
    """
    return await readiness.readiness(ctx)


@api.operation("GET", "/metrics", caller=ANYONE, answers=metrics.CONTENT_TYPE, asks_database=False)
async def prometheus(ctx: Context) -> HTTPResponse:
    """The figures of all processes of this server, in Prometheus' format."""
    return HTTPResponse(await asyncio.to_thread(metrics.exposition), content_type=metrics.CONTENT_TYPE)
