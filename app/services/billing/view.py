"""A customer's facts by the objects that they tell of, with the newest snapshot of each object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast, get_args

from app.providers.payments import Kind
from app.services.billing.facts import Fact, Snapshot, UnreadableFactError, snapshot_of
from app.services.billing.ordering import AmbiguousError, newest_of, since_when

Read = TypeVar("Read")

FETCHED_KINDS = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class History:
    """All snapshots of one object, and the newest."""

    id: str
    snapshots: Sequence[Snapshot]
    newest: Snapshot

    @property
    def object(self) -> Mapping[str, Any]:
        """The object as it stands."""
        return self.newest.object


@dataclass(slots=True)
class View:
    """What a fold looks at; whoever believes a fact adds its id to ``current``."""

    histories: Mapping[str, Mapping[str, History]]
    operator: Sequence[Fact]
    portal: Sequence[Fact]
    needs_fetch: list[tuple[Kind, str]]
    unreadable: dict[int, str]
    current: set[int] = field(default_factory=set)

    def of(self, kind: str) -> Iterator[History]:
        """The histories of one kind of object, by their ids; each of their newest facts is current."""
        for _, history in sorted(self.histories.get(kind, {}).items()):
            self.current.add(history.newest.fact_id)
            yield history

    def read(self, history: History, read: Callable[[History], Read | None]) -> Read | None:
        """What is read of a history; None, and its fact is noted, where that cannot be read."""
        try:
            return read(history)
        except UnreadableFactError as failure:
            self.unreadable[history.newest.fact_id] = str(failure)
            return None

    def since_when(self, history: History, value_of: Callable[[Mapping[str, Any]], Any]) -> datetime:
        """Since when an object has had the value that it has now, without interruption."""
        first, before = since_when(history.snapshots, history.newest, value_of)
        self.current.update(each.fact_id for each in (first, before) if each is not None)
        return first.at

    def newest_said(self, member: str) -> Fact | None:
        """The newest of an operator's facts that says something of this member."""
        saying = [fact for fact in self.operator if fact.payload.get(member) is not None]
        newest = max(saying, key=lambda fact: (fact.happened_at, fact.reference), default=None)
        if newest is not None:
            self.current.add(newest.id)
        return newest


def view_of(facts: Iterable[Fact], *, can_ask: bool) -> View:
    """The facts as a fold looks at them; without ``can_ask`` nothing is left for Stripe to tell."""
    unique = {fact.reference: fact for fact in facts}
    snapshots: defaultdict[str, defaultdict[str, list[Snapshot]]] = defaultdict(lambda: defaultdict(list))
    unreadable: dict[int, str] = {}
    for fact in unique.values():
        try:
            if (found := snapshot_of(fact)) is not None:
                kind, object_id, snapshot = found
                snapshots[kind][object_id].append(snapshot)
        except UnreadableFactError as failure:
            unreadable[fact.id] = str(failure)
    histories: defaultdict[str, dict[str, History]] = defaultdict(dict)
    needs_fetch: list[tuple[Kind, str]] = []
    for kind, objects in snapshots.items():
        for object_id, known in objects.items():
            is_fetched_kind = kind in FETCHED_KINDS and not _is_unknown_to_stripe(unique.values(), object_id)
            try:
                newest = newest_of(known, can_ask=can_ask and is_fetched_kind)
            except AmbiguousError:
                needs_fetch.append((cast("Kind", kind), object_id))
            else:
                histories[kind][object_id] = History(object_id, known, newest)
    return View(
        histories,
        [fact for fact in unique.values() if fact.source == "operator"],
        [fact for fact in unique.values() if fact.source == "portal"],
        sorted(needs_fetch),
        unreadable,
    )


def _is_unknown_to_stripe(facts: Iterable[Fact], object_id: str) -> bool:
    """Whether Stripe was asked for an object and said that it has none with this id."""
    return any(
        fact.source == "gateway" and fact.object_id == object_id and fact.payload.get("object") is None
        for fact in facts
    )
