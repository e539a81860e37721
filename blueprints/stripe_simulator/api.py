"""The simulator's API over HTTP, for whoever sits at this machine and has its key."""

from __future__ import annotations

from typing import Any

from sanic import Request, Sanic
from sanic.response import HTTPResponse

from app.errors import NotFoundError
from app.providers.stripe_simulator.simulator import PATH, Sent
from app.settings import Settings
from blueprints.stripe_simulator import pages
from blueprints.stripe_simulator.present import simulator_of
from blueprints.web.bodies import is_body_left, receive_body
from blueprints.web.routes import add_route

MAX_BYTES = 64 * 1024
METHODS = ["GET", "POST", "DELETE"]


def add_stripe_simulator(app: Sanic[Any, Any], settings: Settings) -> None:
    """Serve ``/dev/stripe`` in development without a key of Stripe's; elsewhere there is no such address."""
    if not settings.simulates_stripe:
        return
    app.blueprint(pages.blueprint)
    add_route(app, simulated_api, f"{PATH}/v1/<path:path>", METHODS, "simulated_api")


async def simulated_api(request: Request, path: str) -> HTTPResponse:
    """Answer as Stripe's API does."""
    simulator = simulator_of(request)
    if is_body_left(request):
        await receive_body(request, MAX_BYTES)
    try:
        body = request.body.decode()
    except UnicodeDecodeError:
        raise NotFoundError from None
    parameters = "&".join(part for part in (request.query_string, body) if part)
    sent = Sent(request.method, path, parameters, request.headers.get("idempotency-key"))
    answer = await simulator.answer(sent, (request.headers.get("authorization") or "").removeprefix("Bearer "))
    return HTTPResponse(answer.body, answer.status, answer.headers, "application/json")


# It reads its body itself.
simulated_api.takes_body = True  # type: ignore[attr-defined]
