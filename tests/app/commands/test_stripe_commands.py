"""portal stripe replay and rehearse, as somebody types them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog
from sqlalchemy import update
from support.stripe_places import stored, with_tenant
from support.stripe_story import Story

from app.__main__ import main
from app.commands.session import operating
from app.services.payments.folding import fold_waiting
from sql.tables import stripe_customers

Portal = Callable[..., tuple[int, str, str]]


@pytest.fixture
def portal(
    state: object, empty_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Portal]:
    """Runs a command on an empty database, once on each kind; answers its exit code and what it prints."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setenv("PORTAL_DATABASE_URL", empty_database)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["portal", *arguments])
        capsys.readouterr()
        exit_code = main()
        shown = capsys.readouterr()
        return exit_code, shown.out, shown.err

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


async def told() -> None:
    """A tenant that has bought codes."""
    async with operating() as ctx:
        story = Story("buyer", await with_tenant(ctx, "buyer"))
        story.buy_codes(3)
        (customer,) = await stored(ctx, story.events)
        await fold_waiting(ctx, customer)


async def drifted() -> None:
    async with operating() as ctx, ctx.write() as conn:
        await conn.affected(update(stripe_customers).values(state_hash=b"0" * 32))


def test_a_history_is_replayed_and_rehearsed(portal: Portal) -> None:
    unknown = portal("stripe", "rehearse", "--tenant", "demo", "--json")
    asyncio.run(told())

    rehearsed = portal("stripe", "rehearse", "--tenant", "buyer", "--rounds", "2", "--json")
    replayed = portal("stripe", "replay", "--tenant", "buyer", "--json")
    nothing = portal("stripe", "replay", "--failed")
    refused = [portal("stripe", "replay", *chosen)[0] for chosen in ((), ("--event", "evt_1"), ("--tenant", "nobody"))]
    asyncio.run(drifted())
    different = portal("stripe", "rehearse", "--tenant", "buyer", "--rounds", "1")

    assert unknown[0] == 2
    assert json.loads(unknown[2])["errorCode"] == "history_not_found"
    result = json.loads(rehearsed[1])
    assert (rehearsed[0], result["facts"], result["different"], result["is_good"]) == (0, 3, [], True)
    assert (replayed[0], json.loads(replayed[1])) == (0, {"events": 3, "customers": 1})
    assert (nothing[0], nothing[1].split()[0]) == (0, "0")
    assert refused == [2, 2, 2]
    assert different[0] == 1
    assert "portal stripe replay" in different[1]
