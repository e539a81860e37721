"""The audit chain: sealing events in the order of the trail, and proving that none was changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson

from app.access.keys import Keys
from app.context import Context
from app.database.connections import ReadConnection, as_batch
from app.events import NOWHERE
from sql.statements import audit as statements

# Sealing and proving so many takes a few thousandths of a second.
EVENTS_AT_ONCE = 500
# What the first seal has before it.
GENESIS = bytes(32)

Place = tuple[int, int]
Fault = Literal["cut_off", "seal_missing", "missing", "changed", "reordered", "inserted", "head_missing"]


class LastSeal(NamedTuple):
    """The end of the chain."""

    position: int = 0
    seal: bytes = GENESIS


class PlaceInTrail(NamedTuple):
    """Where an event stands in the order of the trail."""

    xid: int
    id: int


@dataclass(frozen=True, slots=True)
class Break:
    """The first wrong place: which event it is, by id, and which link of the chain, where there is one."""

    fault: Fault
    event_id: int | None
    position: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of a walk along the chain; ``head`` is the last good seal in hexadecimal, to be kept elsewhere.

    ``expected_at`` is the link whose seal was expected, None if none was or the good part has no such link.
    """

    intact: bool
    sealed: int
    unsealed: int
    head: str | None
    broken: Break | None
    expected_at: int | None = None


class _Walk(NamedTuple):
    """How far the chain is good: the last good link, its event's place, its seal; and what is wrong after it."""

    position: int
    place: Place
    seal: bytes
    expected_at: int | None
    broken: Break | None


class _AnotherSealerError(Exception):
    """Another worker has sealed these events meanwhile."""


async def seal_events(ctx: Context) -> Mapping[str, object]:
    """Add every committed event that has no seal to the chain, in the order of the trail, batch by batch.

    Of two workers that seal at the same moment the slower one finds the next positions taken, and starts again.
    """
    sealed = 0
    while True:
        try:
            added = await _seal_some(ctx)
        except _AnotherSealerError:
            continue
        sealed += added
        if added < EVENTS_AT_ONCE:
            return {"sealed": sealed}


async def _seal_some(ctx: Context) -> int:
    sealed_at = ctx.now()
    async with ctx.write() as conn:
        position, seal = await conn.maybe(statements.last_seal, LastSeal) or LastSeal()
        xid, event_id = await conn.maybe(statements.last_sealed_place, PlaceInTrail) or NOWHERE
        events = await conn.rows(statements.events_to_seal, after_xid=xid, after_id=event_id, page_size=EVENTS_AT_ONCE)
        links = []
        for event in events:
            position += 1
            seal = _seal(ctx.runtime.keys, seal, position, event[1:])
            links.append({"position": position, "event_id": event.id, "seal": seal.hex(), "sealed_at": sealed_at})
        if links:
            seals = await conn.rows(statements.add_seals, batch=as_batch(links))
            if len(seals) < len(links):
                raise _AnotherSealerError
    return len(links)


async def verify_audit(ctx: Context, *, expected: bytes | None = None) -> Proof:
    """Walk the whole chain, page by page, up to the first place where something was changed, taken out or put in.

    ``expected`` is a seal that was the head at some time: without it a chain whose end was cut off, events and seals,
    is a chain like any other; with it the chain must go at least that far.
    """
    async with ctx.read() as conn:
        walked, place, seal, expected_at, broken = await _walk(ctx.runtime.keys, conn, expected)
        if broken is None and expected is not None and expected_at is None:
            message = "no link has the expected seal: the end of the chain was cut off, or this is another chain"
            broken = Break("head_missing", None, None, message)
        inserted_id = await conn.maybe(statements.first_unsealed_before, int, after_xid=place[0], after_id=place[1])
        if inserted_id is not None:
            message = f"event {inserted_id} stands among sealed events and has no seal: it was put in later"
            broken = Break("inserted", inserted_id, None, message)
        unsealed = await conn.one(statements.unsealed_after, int, after_xid=place[0], after_id=place[1])
    return Proof(
        intact=broken is None,
        sealed=walked,
        unsealed=unsealed,
        head=seal.hex() if walked else None,
        broken=broken,
        expected_at=expected_at,
    )


async def _walk(keys: Keys, conn: ReadConnection, expected: bytes | None) -> _Walk:
    position, place, seal, expected_at = 0, NOWHERE, GENESIS, None
    while True:
        links = await conn.rows(statements.sealed_events, after_position=position, page_size=EVENTS_AT_ONCE)
        for link in links:
            if (broken := _fault(keys, position + 1, place, seal, link)) is not None:
                return _Walk(position, place, seal, expected_at, broken)
            position, place, seal = link.position, (link.xid, link.id), link.seal
            if seal == expected:
                expected_at = position
        if len(links) < EVENTS_AT_ONCE:
            return _Walk(position, place, seal, expected_at, None)


def _fault(keys: Keys, position: int, place: Place, previous: bytes, link: Any) -> Break | None:
    """What is wrong with a link of the chain, if anything."""
    event_id = link.event_id
    if link.position != position:
        fault: Fault = "cut_off" if position == 1 else "seal_missing"
        message = f"the chain has no link {position}; the next one is {link.position}, of event {event_id}"
        return Break(fault, event_id, link.position, message)
    if link.id is None:
        return Break("missing", event_id, position, f"event {event_id} was sealed and is not there any more")
    if _seal(keys, previous, position, link[4:]) != link.seal:
        message = f"event {event_id} or its seal is not what it was when it was sealed"
        return Break("changed", event_id, position, message)
    if (link.xid, link.id) <= place:
        return Break("reordered", event_id, position, f"event {event_id} stands before the one sealed ahead of it")
    return None


def _seal(keys: Keys, previous: bytes, position: int, event: Sequence[Any]) -> bytes:
    """The seal over an event's lasting columns at its position, as JSON, which leaves no doubt where each one ends."""
    values = [value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for value in event]
    return keys.audit_seal(previous, orjson.dumps([position, *values]))
