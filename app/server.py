"""The composition root: builds the Sanic application of a worker from the settings."""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import cache
from typing import Any

import orjson
import structlog
from sanic import Sanic

from app import APP_NAME
from app.clock import Clock
from app.contract.api_document import LARGE_BODY, document
from app.database import schema
from app.jobs.jobs import Jobs
from app.jobs.schedules import ERRANDS, schedules
from app.runtime import Runtime
from app.settings import Settings
from app.telemetry import metrics
from app.telemetry.log import configure_logging
from app.wire.bodies import HeldBodies
from app.wire.connection import Wire
from app.wire.connections import OpenConnections, most_connections
from app.wire.exchange import READ_TO_REFUSE
from app.wire.open_files import open_files
from app.wire.request import ArrivingRequest
from blueprints import (
    admin_api,
    admin_pages,
    authz,
    billing_stripe,
    health,
    licenses,
    llm_management,
    operator_auth,
    tenant_api,
    tenant_pages,
    usage,
)
from blueprints.documentation import add_documentation
from blueprints.graphql_api.routes import add_graphql
from blueprints.mailbox import add_mailbox
from blueprints.stripe_simulator import add_stripe_simulator
from blueprints.web.answer_headers import install_answer_headers
from blueprints.web.problems import ProblemHandler
from blueprints.web.routes import number_routes

APIS = (
    admin_api.api,
    operator_auth.api,
    authz.api,
    billing_stripe.api,
    health.api,
    licenses.api,
    llm_management.api,
    tenant_api.api,
    usage.api,
)
PAGES = (operator_auth.pages, admin_pages.pages, tenant_pages.pages)
# Seconds that the last batches have to finish; the rest of the grace is for durable steps.
DRAIN_SECONDS = 5.0

log = structlog.get_logger(__name__)


def create_app(settings: Settings, clock: Clock | None = None, *, durable: bool = True) -> Sanic[Any, Any]:
    """The application of one worker process; ``clock`` defaults to the machine's.

    Without ``durable`` it runs neither schedules nor errands.
    """
    configure_logging(settings)
    app: Sanic[Any, Any] = Sanic(
        APP_NAME,
        loads=orjson.loads,
        dumps=orjson.dumps,
        request_class=ArrivingRequest,
        error_handler=ProblemHandler(),
        configure_logging=False,
        strict_slashes=False,
    )
    number_routes(app)
    app.config.update(_framework_settings(settings))
    app.ctx.runtime = Runtime(settings, clock)
    app.ctx.wire = _wire(settings)
    install_answer_headers(app, settings)
    app.ctx.jobs = Jobs(app.ctx.runtime, schedules(settings), errands=ERRANDS) if durable else None
    for api in APIS:
        app.blueprint(api.blueprint)
    for pages in PAGES:
        app.blueprint(pages.blueprint)
    app.ctx.menu = tuple(page for pages in PAGES for page in pages.pages if page.menu is not None)
    add_documentation(app, _api_document)
    add_mailbox(app)
    add_stripe_simulator(app, settings)
    add_graphql(app, settings)
    app.before_server_start(_start)
    app.before_server_stop(_drain)
    app.after_server_stop(_stop)
    return app


@cache
def _api_document() -> bytes:
    """The OpenAPI document of all operations; it is the same for every application of a process."""
    return orjson.dumps(document([operation for api in APIS for operation in api.operations]))


def _framework_settings(settings: Settings) -> dict[str, Any]:
    return {
        # As much of a body that was refused is thrown away before its connection is closed.
        "REQUEST_MAX_SIZE": settings.request_max_bytes * READ_TO_REFUSE,
        # As long as the body of a POST may be.
        "WEBSOCKET_MAX_SIZE": min(settings.request_max_bytes, LARGE_BODY),
        "REQUEST_TIMEOUT": settings.request_timeout_seconds,
        "RESPONSE_TIMEOUT": settings.response_timeout_seconds,
        "KEEP_ALIVE_TIMEOUT": settings.keep_alive_seconds,
        "GRACEFUL_SHUTDOWN_TIMEOUT": settings.shutdown_grace_seconds,
        "PROXIES_COUNT": settings.proxies_count or None,
        "ACCESS_LOG": False,
        "FALLBACK_ERROR_FORMAT": "json",
        "MOTD": False,
        "OAS": False,
    }


def _wire(settings: Settings) -> Wire:
    return Wire(
        HeldBodies(settings.request_bodies_max_bytes, settings.request_max_bytes),
        OpenConnections(
            most_connections(settings.max_connections, open_files()),
            0 if settings.proxies_count else settings.max_connections_per_address,
        ),
        names_client=settings.proxies_count > 0,
    )


async def _start(app: Sanic[Any, Any]) -> None:
    runtime: Runtime = app.ctx.runtime
    await schema.check_current(runtime.settings)
    await runtime.start()
    if runtime.simulator is not None:
        await runtime.simulator.begin()
    if (jobs := app.ctx.jobs) is not None:
        await jobs.launch()
    limit = app.ctx.wire.connections.limit
    log.info("worker_started", pid=os.getpid(), database=runtime.db.url.get_backend_name(), max_connections=limit)


async def _drain(app: Sanic[Any, Any]) -> None:
    runtime: Runtime = app.ctx.runtime
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await runtime.drain()
    if (jobs := app.ctx.jobs) is not None:
        await jobs.stop(max(0.0, runtime.settings.shutdown_grace_seconds - DRAIN_SECONDS))


async def _stop(app: Sanic[Any, Any]) -> None:
    runtime: Runtime = app.ctx.runtime
    await runtime.close()
    metrics.forget_process(os.getpid())
    log.info("worker_stopped", pid=os.getpid())
