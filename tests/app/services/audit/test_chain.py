"""The audit chain: one order, one chain, and whatever is done to it behind the portal's back is found and named."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Executable, delete, func, select, text, update
from support.builders import activated, licensed
from support.live import LiveServer
from support.rows import change, rows, told

from app.commands import audit as command
from app.commands.output import CommandFailedError
from app.context import Context
from app.events import Event, EventType, StoredEvent, record
from app.services.audit import chain
from app.services.audit.chain import Proof, seal_events, verify_audit
from app.services.audit.trail import Chosen, list_events
from sql.tables import audit_seals, platform_events, tenants

OPERATING = (Path(__file__).parents[4] / "docs" / "operating.md").read_text()
ROUNDS = 20 if os.environ.get("PORTAL_PROOF") == "full" else 4


async def write(live: LiveServer, *titles: str) -> None:
    async with live.ctx.write() as conn:
        await record(conn, live.ctx, *(Event(EventType.PLAN_UPDATED, title) for title in titles))


async def seals(live: LiveServer) -> list[Any]:
    return list(await rows(live, audit_seals.select().order_by(audit_seals.c.position)))


async def sealed(live: LiveServer, events: int = 9) -> list[int]:
    """A chain over so many events; their ids in its order."""
    await write(live, *(f"event {number}" for number in range(events)))
    await seal_events(live.ctx)
    return [seal.event_id for seal in await seals(live)]


async def test_events_are_sealed_in_the_order_of_the_trail(sanic_client: LiveServer) -> None:
    await activated(sanic_client)

    assert await seal_events(sanic_client.ctx) == {"sealed": 6}
    assert await seal_events(sanic_client.ctx) == {"sealed": 0}

    chain = await seals(sanic_client)
    assert [seal.position for seal in chain] == [1, 2, 3, 4, 5, 6]
    assert [seal.event_id for seal in chain] == [event.id for event in await told(sanic_client)]
    assert len({seal.seal for seal in chain}) == 6
    assert await verify_audit(sanic_client.ctx) == Proof(True, 6, 0, chain[-1].seal.hex(), None)


async def test_an_empty_trail_is_intact(sanic_client: LiveServer) -> None:
    assert await seal_events(sanic_client.ctx) == {"sealed": 0}
    assert await verify_audit(sanic_client.ctx) == Proof(True, 0, 0, None, None)


async def test_what_waits_for_its_seal_is_reported(sanic_client: LiveServer) -> None:
    await sealed(sanic_client, 4)
    await write(sanic_client, "one more", "and one")

    proof = await verify_audit(sanic_client.ctx)

    assert (proof.intact, proof.sealed, proof.unsealed) == (True, 4, 2)


async def test_a_long_trail_is_sealed_and_proved_in_batches(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "EVENTS_AT_ONCE", 7)
    await sealed(sanic_client, 30)
    await sealed(sanic_client, 19)

    proof = await verify_audit(sanic_client.ctx)

    assert (proof.intact, proof.sealed, proof.unsealed) == (True, 49, 0)


@pytest.mark.postgresql_only("SQLite has one writer: nothing can be sealed meanwhile")
async def test_an_open_transaction_is_waited_for_and_not_skipped(sanic_client: LiveServer) -> None:
    live = sanic_client
    async with live.ctx.write() as conn:
        await record(conn, live.ctx, Event(EventType.PLAN_UPDATED, "slow"))
        await write(live, "quick")
        assert await seal_events(live.ctx) == {"sealed": 0}
    await seal_events(live.ctx)

    proof = await verify_audit(live.ctx)

    assert (proof.intact, proof.sealed, proof.unsealed) == (True, 2, 0)


async def test_many_sealers_at_once_make_one_chain(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    live = sanic_client
    monkeypatch.setattr(chain, "EVENTS_AT_ONCE", 5)
    for number in range(ROUNDS):
        writing = (write(live, f"{number}/{turn}", f"{number}/{turn} again") for turn in range(12))
        await asyncio.gather(*writing, *(seal_events(live.ctx) for _ in range(4)))
    await seal_events(live.ctx)

    proof = await verify_audit(live.ctx)

    assert (proof.intact, proof.sealed, proof.unsealed) == (True, ROUNDS * 24, 0)
    assert [seal.event_id for seal in await seals(live)] == [event.id for event in await told(live)]


async def test_deleting_a_tenant_does_not_break_the_chain(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    await seal_events(sanic_client.ctx)
    await change(sanic_client, delete(tenants).where(tenants.c.id == tenant.tenant_id))

    assert (await verify_audit(sanic_client.ctx)).intact


def of_event(event_id: int, **values: Any) -> Executable:
    return update(platform_events).where(platform_events.c.id == event_id).values(**values)


CHANGES: dict[str, dict[str, Any]] = {
    "event_type": {"event_type": "plan_created"},
    "severity": {"severity": "minor"},
    "title": {"title": "it was not me"},
    "actor_type": {"actor_type": "system"},
    "actor_name": {"actor_name": "somebody"},
    "actor_id": {"actor_id": 7},
    "tenant_id": {"tenant_id": 7},
    "code_id": {"code_id": 7},
    "device_id": {"device_id": 7},
    "project_id": {"project_id": "7"},
    "metadata": {"metadata": '{"a":1}'},
    "request_id": {"request_id": None},
    "created_at": {"created_at": platform_events.c.created_at},
}


@pytest.mark.parametrize("column", CHANGES)
async def test_a_changed_column_is_found_and_its_event_named(sanic_client: LiveServer, column: str) -> None:
    ids = await sealed(sanic_client)
    values = CHANGES[column]
    if column == "created_at":
        ((moment,),) = await rows(
            sanic_client, select(platform_events.c.created_at).where(platform_events.c.id == ids[4])
        )
        values = {"created_at": moment.replace(microsecond=(moment.microsecond + 1) % 1_000_000)}
    await change(sanic_client, of_event(ids[4], **values))

    proof = await verify_audit(sanic_client.ctx)

    assert (proof.intact, proof.sealed, proof.unsealed) == (False, 4, 5)
    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.event_id, proof.broken.position) == ("changed", ids[4], 5)


async def test_every_column_of_an_event_is_sealed_but_the_number_of_its_transaction() -> None:
    assert {column.key for column in platform_events.c} - {"id", "xid"} == set(CHANGES)


async def test_a_missing_event_is_found_and_named(sanic_client: LiveServer) -> None:
    ids = await sealed(sanic_client)
    await change(sanic_client, delete(platform_events).where(platform_events.c.id == ids[2]))

    proof = await verify_audit(sanic_client.ctx)

    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.event_id, proof.sealed) == ("missing", ids[2], 2)


async def test_a_chain_without_its_beginning_is_found(sanic_client: LiveServer) -> None:
    ids = await sealed(sanic_client)
    await change(sanic_client, delete(audit_seals).where(audit_seals.c.position <= 3))
    await change(sanic_client, delete(platform_events).where(platform_events.c.id.in_(ids[:3])))

    proof = await verify_audit(sanic_client.ctx)

    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.event_id, proof.broken.position) == ("cut_off", ids[3], 4)


async def test_an_event_taken_out_with_its_seal_is_found(sanic_client: LiveServer) -> None:
    ids = await sealed(sanic_client)
    await change(sanic_client, delete(audit_seals).where(audit_seals.c.position == 5))
    await change(sanic_client, delete(platform_events).where(platform_events.c.id == ids[4]))

    proof = await verify_audit(sanic_client.ctx)

    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.position, proof.sealed) == ("seal_missing", 6, 4)


async def test_an_event_that_is_put_in_later_is_found_and_named(sanic_client: LiveServer) -> None:
    live = sanic_client
    ids = await sealed(live)
    await write(live, "forged")
    await seal_tail_at(live, ids[4])

    proof = await verify_audit(live.ctx)

    assert proof.broken is not None
    assert (proof.intact, proof.broken.fault) == (False, "inserted")
    ((forged,),) = await rows(live, select(platform_events.c.id).where(platform_events.c.title == "forged"))
    assert proof.broken.event_id == forged


async def seal_tail_at(live: LiveServer, event_id: int) -> None:
    """Put the newest event before another one in the order of the trail."""
    ((xid,),) = await rows(live, select(platform_events.c.xid).where(platform_events.c.id == event_id))
    await change(live, update(platform_events).where(platform_events.c.title == "forged").values(xid=xid - 1))


async def test_rows_that_were_swapped_are_found(sanic_client: LiveServer) -> None:
    ids = await sealed(sanic_client)
    first, second = ids[3], ids[6]
    for was, now in ((first, -1), (second, first), (-1, second)):
        await change(sanic_client, of_event(was, id=now))

    proof = await verify_audit(sanic_client.ctx)

    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.event_id) == ("changed", first)


async def test_seals_that_were_swapped_are_found(sanic_client: LiveServer) -> None:
    await sealed(sanic_client)
    for was, now in ((4, -1), (7, 4), (-1, 7)):
        await change(sanic_client, update(audit_seals).where(audit_seals.c.position == was).values(position=now))

    proof = await verify_audit(sanic_client.ctx)

    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.position) == ("changed", 4)


async def test_an_event_moved_to_another_place_in_the_trail_is_found(sanic_client: LiveServer) -> None:
    await write(sanic_client, "before")
    ids = await sealed(sanic_client)
    moved = update(platform_events).where(platform_events.c.id == ids[5]).values(xid=-5)
    await change(sanic_client, moved)

    proof = await verify_audit(sanic_client.ctx)

    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.event_id) == ("reordered", ids[5])


async def test_any_tampering_anywhere_is_found(sanic_client: LiveServer) -> None:
    live, chance = sanic_client, random.Random(7)
    ids = await sealed(live, 12)
    harm: list[Callable[[int], Executable]] = [
        lambda event_id: of_event(event_id, title="changed"),
        lambda event_id: delete(platform_events).where(platform_events.c.id == event_id),
        lambda event_id: update(audit_seals).where(audit_seals.c.event_id == event_id).values(seal=bytes(32)),
        lambda event_id: update(audit_seals).where(audit_seals.c.event_id == event_id).values(event_id=10_000),
    ]
    (untouched,) = {(await verify_audit(live.ctx)).intact}
    await change(live, chance.choice(harm)(chance.choice(ids)))

    assert untouched
    assert not (await verify_audit(live.ctx)).intact


async def test_another_secret_key_proves_nothing(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await sealed(sanic_client)
    monkeypatch.setattr(sanic_client.runtime.keys, "_audit", bytes(32))

    assert not (await verify_audit(sanic_client.ctx)).intact


async def test_sealing_goes_on_after_tampering_and_the_break_stays(sanic_client: LiveServer) -> None:
    ids = await sealed(sanic_client)
    await change(sanic_client, delete(platform_events).where(platform_events.c.id == ids[-2]))
    await change(sanic_client, of_event(ids[3], xid=2**40))
    await sealed(sanic_client, 3)

    proof = await verify_audit(sanic_client.ctx)
    ((links,),) = await rows(sanic_client, select(func.count()).select_from(audit_seals))

    assert links == 12
    assert proof.broken is not None
    assert (proof.broken.fault, proof.broken.event_id) == ("reordered", ids[4])


async def test_a_chain_without_its_end_is_found_by_the_head_that_was_kept(sanic_client: LiveServer) -> None:
    live = sanic_client
    ids = await sealed(live)
    kept = bytes.fromhex(str((await verify_audit(live.ctx)).head))
    await sealed(live, 2)
    grown = await verify_audit(live.ctx, expected=kept)
    await change(live, delete(audit_seals).where(audit_seals.c.position >= 9))
    await change(live, delete(platform_events).where(platform_events.c.id >= ids[8]))
    await sealed(live, 5)

    unasked, asked = await verify_audit(live.ctx), await verify_audit(live.ctx, expected=kept)

    assert (grown.intact, grown.sealed, grown.expected_at) == (True, 11, 9)
    assert (unasked.intact, unasked.sealed) == (True, 13)
    assert (asked.intact, asked.sealed, asked.expected_at) == (False, 13, None)
    assert asked.broken is not None
    assert (asked.broken.fault, asked.broken.event_id, asked.broken.position) == ("head_missing", None, None)


@pytest.mark.postgresql_only("SQLite numbers no transactions")
async def test_a_chain_restored_as_the_operating_page_says_is_whole(sanic_client: LiveServer) -> None:
    """Of two events the one that was given its id earlier may have been sealed later."""
    live = sanic_client
    await write(live, "the id was given first")
    await write(live, "the transaction was given first")
    first, second = await told(live)
    await change(live, of_event(first.id, xid=second.xid))
    await change(live, of_event(second.id, xid=first.xid))
    await seal_events(live.ctx)
    (statement,) = re.findall(r"^    (UPDATE platform_events .*)$", OPERATING, re.MULTILINE)

    await change(live, text(statement))
    await write(live, "after the restoration")
    await seal_events(live.ctx)

    proof = await verify_audit(live.ctx)
    assert (proof.intact, proof.sealed, proof.unsealed) == (True, 3, 0)
    assert [event.id for event in await told(live)][:2] == [second.id, first.id]
    listed = [event.id for event in await followed(live)]
    assert listed == [event.id for event in await told(live)]


async def followed(live: LiveServer) -> list[StoredEvent]:
    """The trail as a program follows it, an event a page."""
    events: list[StoredEvent] = []
    cursor = None
    while True:
        page = await list_events(live.ctx, Chosen(is_oldest_first=True), cursor=cursor, page_size=1)
        events += page.events
        if (cursor := page.next_cursor) is None:
            return events


@pytest.fixture
def operating(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command works where the server does."""

    class Operating:
        async def __aenter__(self) -> Context:
            return sanic_client.ctx

        async def __aexit__(self, *rest: object) -> None:
            pass

    monkeypatch.setattr(command, "operating", Operating)


@pytest.mark.usefixtures("operating")
async def test_the_command_takes_the_head_that_it_printed(
    sanic_client: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await sealed(sanic_client)
    capsys.readouterr()

    assert await command.verify_audit(as_json=True) == 0
    head = orjson.loads(capsys.readouterr().out)["head"]
    assert await command.verify_audit(expect=head.upper(), as_json=True) == 0
    assert orjson.loads(capsys.readouterr().out)["expected_at"] == 9
    assert await command.verify_audit(expect="00" * 32, as_json=True) == 1
    assert orjson.loads(capsys.readouterr().out)["broken"]["fault"] == "head_missing"
    for wrong in ("", "beef", f"{head}00", "of the last week"):
        with pytest.raises(CommandFailedError, match="64 hexadecimal digits"):
            await command.verify_audit(expect=wrong)


@pytest.mark.usefixtures("operating")
async def test_the_command_tells_it_and_fails_on_a_break(
    sanic_client: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = await sealed(sanic_client)
    capsys.readouterr()

    assert await command.verify_audit(as_json=True) == 0
    whole = orjson.loads(capsys.readouterr().out)
    await change(sanic_client, of_event(ids[1], title="changed"))
    assert await command.verify_audit(as_json=True) == 1
    broken = orjson.loads(capsys.readouterr().out)

    assert (whole["intact"], whole["sealed"], whole["unsealed"], whole["broken"]) == (True, 9, 0, None)
    assert (broken["intact"], broken["sealed"]) == (False, 1)
    assert broken["broken"]["event_id"] == ids[1]
