"""Which of an object's snapshots is the newest: a function of the set of them, whatever order they arrived in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from app.services.billing.facts import LAST_RANK, Snapshot

# How little a subscription grants, for snapshots of which nobody can tell the newer one.
_LEAST_GRANTED: Final = (
    "active",
    "trialing",
    "past_due",
    "incomplete",
    "paused",
    "unpaid",
    "incomplete_expired",
    "canceled",
)

Follows = Callable[["_State", "_State"], bool]


class AmbiguousError(Exception):
    """Snapshots of one second of which none is known to be the newest: only Stripe can tell."""


class _State:
    """A state in which an object was, with every snapshot that shows it so."""

    def __init__(self, first: Snapshot) -> None:
        self.object = first.object
        self.snapshots = [first]

    @property
    def newest(self) -> Snapshot:
        """One of equal snapshots, always the same one."""
        return min(self.snapshots, key=lambda snapshot: snapshot.reference)


def newest_of(snapshots: Sequence[Snapshot], *, can_ask: bool) -> Snapshot:
    """The newest of an object's snapshots; raises AmbiguousError if there is none and Stripe can be asked.

    A later second stands above an earlier one, and within a second the rank of the event's kind. Events of the same
    second and rank are in order by ``previous_attributes``, which name the values that each has replaced. A snapshot
    that was fetched stands above what was known when it was fetched. Where Stripe cannot be asked, or knows nothing of
    the object, the snapshot stands that grants the least.
    """
    events = [each for each in snapshots if not each.is_fetched]
    fetched = max((each for each in snapshots if each.is_fetched), key=_age_of_fetched, default=None)
    if fetched is not None:
        later = [each for each in events if each.at > fetched.at]
        if not later:
            unseen = [each for each in events if each.at == fetched.at and each.reference not in fetched.covers]
            deleted = [each for each in unseen if each.rank[1] == LAST_RANK]
            return min(deleted, key=_reference) if deleted else _last([fetched, *unseen], can_ask=can_ask)
        events = later
    highest = max(each.place for each in events)
    return _last([each for each in events if each.place == highest], can_ask=can_ask)


def since_when(
    snapshots: Iterable[Snapshot], newest: Snapshot, value_of: Callable[[Mapping[str, Any]], Any]
) -> tuple[Snapshot, Snapshot | None]:
    """The snapshot from which on an object has had the value that it has now, without interruption, and the one before.

    As long as both are kept, those between them and the newest do not matter.
    """
    value, first = value_of(newest.object), newest
    earlier = [each for each in snapshots if each.place < newest.place]
    while earlier:
        highest = max(each.place for each in earlier)
        group = sorted((each for each in earlier if each.place == highest), key=_reference)
        others = [each for each in group if value_of(each.object) != value]
        if others:
            return first, others[0]
        first = group[0]
        earlier = [each for each in earlier if each.place < highest]
    return first, None


def canonical(value: object) -> bytes:
    """The same bytes for the same value, whatever the order of its members."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _age_of_fetched(snapshot: Snapshot) -> tuple[Any, ...]:
    return snapshot.at, len(snapshot.covers), snapshot.fetched_at, canonical(snapshot.object)


def _reference(snapshot: Snapshot) -> str:
    return snapshot.reference


def _last(tied: Sequence[Snapshot], *, can_ask: bool) -> Snapshot:
    states: dict[bytes, _State] = {}
    for snapshot in tied:
        key = canonical(snapshot.object)
        if key in states:
            states[key].snapshots.append(snapshot)
        else:
            states[key] = _State(snapshot)
    found = list(states.values())
    if len(found) == 1:
        return found[0].newest
    for follows in (_follows_exactly, _follows):
        if (last := _end_of(found, follows)) is not None:
            return last.newest
    if can_ask:
        raise AmbiguousError
    return max(found, key=_least_granted).newest


def _end_of(states: Sequence[_State], follows: Follows) -> _State | None:
    """The state that all others lead to, and that leads to none; None where there is no such state."""
    after = {id(each): [other for other in states if other is not each and follows(each, other)] for each in states}
    ends = [each for each in states if not after[id(each)]]
    if len(ends) != 1:
        return None
    reached, waiting = {id(ends[0])}, [ends[0]]
    while waiting:
        end = waiting.pop()
        before = [each for each in states if end in after[id(each)] and id(each) not in reached]
        reached |= {id(each) for each in before}
        waiting += before
    return ends[0] if len(reached) == len(states) else None


def _follows_exactly(earlier: _State, later: _State) -> bool:
    """Whether one event has led from one state to the other."""
    return any(
        snapshot.previous and _overlaid(later.object, snapshot.previous) == earlier.object
        for snapshot in later.snapshots
    )


def _follows(earlier: _State, later: _State) -> bool:
    """Whether the earlier one has the values that an event of the later one has replaced."""
    return any(
        snapshot.previous and _has(earlier.object, snapshot.previous) and not _has(later.object, snapshot.previous)
        for snapshot in later.snapshots
    )


def _overlaid(found: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(found)
    for name, value in previous.items():
        below = laid.get(name)
        is_part = isinstance(below, Mapping) and isinstance(value, Mapping)
        laid[name] = _overlaid(below, value) if is_part else value  # type: ignore[arg-type]
    return laid


def _has(found: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    for name, value in values.items():
        below = found.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            if not _has(below, value):
                return False
        elif below != value:
            return False
    return True


def _least_granted(state: _State) -> tuple[int, bytes]:
    status = state.object.get("status")
    granted = _LEAST_GRANTED.index(status) if status in _LEAST_GRANTED else -1
    return granted, canonical(state.object)
