"""The fold: a function of the set of facts, whatever the order and however often each is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from support.stripe_histories import EVENTS, TALES, Event, Story, history

from app.services.billing.facts import Fact
from app.services.billing.fold import fold
from app.services.billing.state import BillingState

FULL = os.environ.get("PORTAL_PROOF") == "full"
SEED = os.environ.get("PORTAL_FOLD_SEED", "2026")
# Shuffles of each of the ten histories.
SHUFFLES = 2000 if FULL else 25
GRACE = timedelta(days=7)
ALL = pytest.mark.parametrize("tale", TALES, ids=lambda tale: tale.__name__)


def fact_of(event: Event, number: int = 1) -> Fact:
    at = datetime.fromtimestamp(event["created"], UTC)
    return Fact(number, "stripe", event["id"], event["type"], event["data"]["object"].get("id"), at, event)


def folded(events: Sequence[Event], *, can_ask: bool = False) -> BillingState:
    return fold([fact_of(event, number) for number, event in enumerate(events, 1)], grace=GRACE, can_ask=can_ask)


@ALL
def test_any_order_with_any_repeats_gives_one_state(tale: Callable[[Story], None]) -> None:
    events = history(tale)
    assert len(events) == EVENTS
    straight = folded(events).hash
    draw = Random(f"{SEED}:{tale.__name__}")
    seen = set()

    for _ in range(SHUFFLES):
        told = [*events, *draw.choices(events, k=EVENTS // 2)]
        draw.shuffle(told)
        seen.add(folded(told).hash)

    assert seen == {straight}
