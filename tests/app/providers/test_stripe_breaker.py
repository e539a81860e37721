"""The circuit breaker over HTTP: when Stripe is left alone, how it is tried, and who goes on then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from support.stripe import HANGS_UP, SILENT, elsewhere

from app.errors import PaymentsRefusedError, PaymentsUnavailableError
from app.providers.stripe import StripeGateway
from app.providers.stripe_breaker import Breaker
from app.telemetry import metrics

SILENCE, FAILED = (HANGS_UP, {}), (503, {"error": {"type": "api_error", "message": "Not now."}})
NO_KEY = (401, {"error": {"message": "Invalid API Key"}})
CUSTOMER = (200, {"id": "cus_1", "object": "customer"})
NOBODY = "http://127.0.0.1:9"


class Seconds:
    """A clock in seconds, which a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def asking(base: str, clock: Seconds, *, seconds: float = 20, hold: float = 0.0) -> AsyncIterator[StripeGateway]:
    """A gateway that asks once, for so long."""
    gateway = StripeGateway(
        "sk_test_1", api_base=base, timeout_seconds=seconds, retries=0, hold_seconds=hold, clock=clock
    )
    try:
        yield gateway
    finally:
        await gateway.close()


async def make(gateway: StripeGateway) -> str:
    return await gateway.create_customer(tenant_id=7, slug="acme", name="Acme", email=None, key="customer:7")


async def fails(gateway: StripeGateway, times: int, error: type[Exception] = PaymentsUnavailableError) -> None:
    for _ in range(times):
        with pytest.raises(error):
            await make(gateway)


async def refused(gateway: StripeGateway) -> int:
    """After how many seconds a caller is told to try again."""
    with pytest.raises(PaymentsUnavailableError) as told:
        await gateway.ready()
    return int(told.value.values["retry_after"])


async def nothing() -> None:
    """Stripe is asked, and does not answer."""


async def test_a_silent_stripe_is_left_alone_and_tried_again_after_a_rest() -> None:
    clock, silent, spared = Seconds(), metrics.stripe_silent._value, metrics.stripe_refusals._value
    were_silent, were_spared = silent.get(), spared.get()
    # A server before this may have logged nothing but errors.
    structlog.reset_defaults()
    with capture_logs() as logged:
        async with elsewhere(*[SILENCE] * 4, NO_KEY, CUSTOMER) as there, asking(there.base, clock) as gateway:
            await fails(gateway, 3)
            assert silent.get() == were_silent + 1
            # Nothing is asked now, whatever is wanted.
            assert await refused(gateway) == 5
            clock.now += 3.5
            assert await refused(gateway) == 2
            await fails(gateway, 1)
            with pytest.raises(PaymentsUnavailableError):
                await gateway.fetch("subscription", "sub_1")
            assert (len(there.heads), gateway._breaker._trying) == (3, None)

            # After the rest it is tried once, however many ask, and not with what is to be paid for.
            clock.now += 1.5
            assert [await refused(gateway) for _ in range(3)] == [5, 5, 5]
            assert gateway._breaker._trying is not None
            await gateway._breaker._trying
            assert await refused(gateway) == 5
            assert (len(there.heads), gateway._breaker._trying) == (4, None)

            # Any answer says that it is there.
            clock.now += 5
            gateway._breaker._hold_seconds = 40.0
            assert await make(gateway) == "cus_1"
            assert silent.get() == were_silent
    keys = [head.get("idempotency-key") for head in there.heads]
    assert keys == ["customer:7"] * 3 + [None, None, "customer:7"]
    told = [(line["event"], line["log_level"]) for line in logged if line["event"].startswith("stripe_")]
    assert told == [("stripe_left_alone", "warning"), ("stripe_answers_again", "info")]
    assert spared.get() - were_spared == 8


async def test_whoever_is_held_goes_on_once_stripe_answers() -> None:
    clock = Seconds()
    async with elsewhere(*[SILENCE] * 3, CUSTOMER) as there, asking(there.base, clock, hold=40.0) as gateway:
        await fails(gateway, 3)
        clock.now += 5

        made = await asyncio.gather(*(make(gateway) for _ in range(5)))

    assert made == ["cus_1"] * 5
    # One attempt for all five, and then their own.
    assert len(there.heads) == 3 + 1 + 5


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([FAILED], PaymentsUnavailableError),
        ([NO_KEY], PaymentsRefusedError),
        ([SILENCE, SILENCE, FAILED, SILENCE, SILENCE, FAILED], PaymentsUnavailableError),
    ],
    ids=["failures", "refusals", "an answer between"],
)
async def test_a_stripe_that_answers_is_asked(answers: list[tuple[int, Any]], error: type[Exception]) -> None:
    async with elsewhere(*answers) as there, asking(there.base, Seconds()) as gateway:
        await fails(gateway, 6, error)
        await gateway.ready()

    assert len(there.heads) == 6


@pytest.mark.parametrize("how", ["says nothing", "hangs up", "takes no connection"])
async def test_a_stripe_that_does_not_answer_is_left_alone(how: str) -> None:
    async with elsewhere((SILENT if how == "says nothing" else HANGS_UP, {})) as there:
        base = NOBODY if how == "takes no connection" else there.base
        async with asking(base, Seconds(), seconds=0.3 if how == "says nothing" else 20) as gateway:
            await fails(gateway, 2)
            await gateway.ready()
            await fails(gateway, 1)

            assert await refused(gateway) == 5


async def test_each_gateway_has_a_breaker_of_its_own() -> None:
    async with asking(NOBODY, Seconds()) as one, asking(NOBODY, Seconds()) as other:
        await fails(one, 3)

        assert await refused(one) == 5
        await other.ready()


async def test_calls_that_began_before_an_answer_do_not_count() -> None:
    clock = Seconds()
    breaker = Breaker(nothing, hold_seconds=0.0, clock=clock)
    began = breaker.now()
    clock.now += 1
    breaker.answered()

    for _ in range(3):
        breaker.silent(began)
    await breaker.admit()
    clock.now += 1
    for _ in range(3):
        breaker.silent(breaker.now())
    with pytest.raises(PaymentsUnavailableError):
        await breaker.admit()
    await breaker.close()


async def test_a_gateway_that_is_closed_leaves_no_attempt_behind() -> None:
    clock, silent = Seconds(), metrics.stripe_silent._value
    before, tasks = silent.get(), len(asyncio.all_tasks())
    async with asking(NOBODY, clock) as gateway:
        await fails(gateway, 3)
        clock.now += 5
        await refused(gateway)

    assert (silent.get(), len(asyncio.all_tasks())) == (before, tasks)
