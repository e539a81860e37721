"""Stripe's library: the only module that imports it, and only once Stripe is asked or has sent something."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import structlog

from app.certificates import trusted_authorities
from app.errors import PaymentsRefusedError, PaymentsUnavailableError, PortalError
from app.providers.stripe_breaker import Breaker

if TYPE_CHECKING:
    import httpx2
    import stripe

    from app.providers.stripe_simulator.simulator import StripeSimulator

# What Stripe writes and reads has this form, whatever form its account has by default.
API_VERSION = "2026-10-28.endive"
# Seconds by which the time in a webhook's signature may be past, as in Stripe's own libraries.
TOLERANCE_SECONDS = 300
# Set once the library is there for whoever verifies a signature: from then on that takes no thread.
_loaded = threading.Event()
MISSING = 404
# What Stripe does not answer is given up after a random part of its time, which is at least this much of it.
SHORTEST_SHARE = 0.7
# What another attempt may mend: a lock that was not free, too many requests, and every failure of Stripe's own.
AGAIN_LATER, SERVER_ERRORS_FROM = frozenset({409, 429}), 500

Found = TypeVar("Found")

log = structlog.get_logger(__name__)


class Opened(NamedTuple):
    """The library's client, and the connections through which it asks."""

    client: stripe.StripeClient
    http: httpx2.AsyncClient


def open_client(
    api_key: str,
    *,
    api_base: str,
    attempt_seconds: float,
    retries: int,
    simulator: StripeSimulator | None,
    on_answer: Callable[[], None],
) -> Opened:
    """A client whose attempts have a time-out each; imports and reads files, so it is called in a thread.

    ``on_answer`` is called after each answer, whatever it says.
    """
    import httpx2
    import stripe

    # Else it writes a file by which one installation is told from another.
    stripe.enable_telemetry = False
    if simulator is None:
        http = httpx2.AsyncClient(follow_redirects=False, verify=trusted_authorities())
    else:
        from app.providers.stripe_simulator.transport import InProcess

        http = httpx2.AsyncClient(follow_redirects=False, transport=InProcess(simulator))
    client = stripe.StripeClient(
        api_key,
        stripe_version=API_VERSION,
        base_addresses={"api": api_base},
        http_client=_over(http, attempt_seconds, on_answer),
        max_network_retries=retries,
    )
    return Opened(client, http)


def _over(http: httpx2.AsyncClient, attempt_seconds: float, on_answer: Callable[[], None]) -> stripe.HTTPClient:
    """How the library sends its requests; its own clients want an older httpx or another library."""
    import httpx2
    import stripe

    class HttpClient(stripe.HTTPClient):
        name = "httpx2"

        async def request_async(
            self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
        ) -> tuple[bytes, int, Mapping[str, str]]:
            try:
                answer = await http.request(
                    method, url, headers=dict(headers), content=post_data or None, timeout=_patience(attempt_seconds)
                )
            except httpx2.HTTPError as failure:
                name = type(failure).__name__
                raise stripe.APIConnectionError(name, should_retry=True) from failure  # type: ignore[no-untyped-call]
            on_answer()
            return answer.content, answer.status_code, answer.headers

        def sleep_async(self, secs: float) -> Awaitable[None]:
            return asyncio.sleep(secs)

    return HttpClient()


@contextlib.asynccontextmanager
async def answering(seconds: float | None, breaker: Breaker) -> AsyncIterator[None]:
    """Calls that end within so many seconds, or somewhat less; what goes wrong in them is told in our words.

    The breaker is told where Stripe has said nothing. Raises PaymentsUnavailableError and PaymentsRefusedError.
    """
    import stripe

    began = breaker.now()
    try:
        async with asyncio.timeout(None if seconds is None else _patience(seconds)):
            yield
    except TimeoutError:
        breaker.silent(began)
        log.warning("payments_failed", reason="no answer in time")
        raise PaymentsUnavailableError from None
    except stripe.StripeError as failure:
        if isinstance(failure, stripe.APIConnectionError):
            breaker.silent(began)
        raise _in_our_words(failure) from None


async def try_once(client: stripe.StripeClient, seconds: float) -> None:
    """Ask for something that every key may ask for, or be refused; whether there was an answer, ``on_answer`` knows."""
    import stripe

    with contextlib.suppress(stripe.StripeError, TimeoutError):
        async with asyncio.timeout(seconds):
            await client.v1.accounts.retrieve_current_async(options={"max_network_retries": 0})


def _patience(seconds: float) -> float:
    """How long to wait: those who wait together would else all go on at one moment, and devices would wait then."""
    return seconds * random.uniform(SHORTEST_SHARE, 1)  # noqa: S311 - no secret


async def unless_missing(asked: Awaitable[Found]) -> Found | None:
    """What was asked for; None when Stripe has nothing with this id."""
    import stripe

    try:
        return await asked
    except stripe.InvalidRequestError as failure:
        if failure.code == "resource_missing" or failure.http_status == MISSING:
            return None
        raise


async def is_signed(payload: bytes, signature: str | None, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets has signed a webhook's body, a short while ago."""
    if not _loaded.is_set():
        await asyncio.to_thread(import_module, "stripe")
        _loaded.set()
    import stripe

    for secret in secrets:
        with contextlib.suppress(stripe.SignatureVerificationError, UnicodeDecodeError):
            stripe.WebhookSignature.verify_header(payload, signature, secret, TOLERANCE_SECONDS)
            return True
    return False


def _in_our_words(failure: stripe.StripeError) -> PortalError:
    """The error of ours for one of Stripe's: not now, or not at all; the log has Stripe's own words."""
    import stripe

    status = failure.http_status
    log.warning("payments_failed", status=status, code=failure.code, request=failure.request_id, reason=str(failure))
    is_passing = isinstance(failure, stripe.APIConnectionError | stripe.APIError | stripe.RateLimitError)
    if is_passing or status in AGAIN_LATER or (status or 0) >= SERVER_ERRORS_FROM:
        return PaymentsUnavailableError()
    if isinstance(failure, stripe.AuthenticationError | stripe.PermissionError):
        return PaymentsRefusedError(reason="the portal's key is not accepted, or may not do this")
    return PaymentsRefusedError(reason=(failure.user_message or "it gave no reason").rstrip("."))
