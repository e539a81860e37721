"""How the gateway reaches the simulator in the same process."""

from __future__ import annotations

import httpx2

from app.providers.stripe_simulator.simulator import Sent, StripeSimulator


class InProcess(httpx2.AsyncBaseTransport):
    """Carries requests to the simulator without a network: any process can ask, whether or not a server runs."""

    def __init__(self, simulator: StripeSimulator) -> None:
        self._simulator = simulator

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request as the simulator's address does."""
        query, body = request.url.query.decode(), (await request.aread()).decode()
        sent = Sent(
            request.method,
            request.url.path.removeprefix("/v1/"),
            "&".join(part for part in (query, body) if part),
            request.headers.get("idempotency-key"),
        )
        answer = await self._simulator.answer(sent, request.headers.get("authorization", "").removeprefix("Bearer "))
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)
