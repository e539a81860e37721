"""One transaction of the simulator: its objects, the events that say how they changed, and the moment it is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from app.providers.stripe_simulator import tables
from app.providers.stripe_simulator.refusals import missing

Object = dict[str, Any]


class Caller(NamedTuple):
    """The request that causes events: what they name as their cause."""

    id: str | None = None
    idempotency_key: str | None = None


class Books:
    """What one transaction reads and changes at one moment; an object is the same dict however often it is read."""

    def __init__(
        self, connection: Connection, *, now: int, sent_at: int, api_version: str, url: str, caller: Caller
    ) -> None:
        self.connection = connection
        # By the simulator's clock; whatever time does moves it on.
        self.now = now
        # Where people reach the simulator.
        self.url = url
        self._sent_at = sent_at
        self._api_version = api_version
        # Whose request causes the events that follow.
        self.caller = caller
        self._kinds: dict[str, str] = {}
        self._objects: dict[str, Object] = {}
        self._notes: dict[str, Object] = {}

    def find(self, kind: str, object_id: str) -> Object | None:
        """An object, or None."""
        if object_id not in self._objects:
            row = self.connection.execute(tables.object_by_id, {"id": object_id}).one_or_none()
            if row is None:
                return None
            self._kinds[object_id] = row.kind
            self._objects[object_id] = orjson.loads(row.body)
            self._notes[object_id] = orjson.loads(row.notes)
        return self._objects[object_id] if self._kinds[object_id] == kind else None

    def get(self, kind: str, object_id: str) -> Object:
        """An object; raises Refusal where there is none."""
        if (found := self.find(kind, object_id)) is None:
            raise missing(kind, object_id)
        return found

    def kind_of(self, object_id: str) -> str | None:
        """Which kind of object has this id."""
        self.find("", object_id)
        return self._kinds.get(object_id)

    def notes(self, found: Object) -> Object:
        """What only the simulator knows of an object; ``save`` keeps what was changed there."""
        return self._notes[found["id"]]

    def listed(self, kind: str, customer: str | None = None) -> list[Object]:
        """The objects of a kind, the newest first."""
        rows = self.connection.execute(tables.ids_of_kind, {"kind": kind, "customer": customer})
        return [self.get(kind, row.id) for row in rows.all()]

    def add(self, kind: str, body: Object, *, event: str | None = None, **notes: Any) -> Object:
        """Keep a new object, and tell of it."""
        self._kinds[body["id"]] = kind
        self._objects[body["id"]] = body
        self._notes[body["id"]] = {"due_at": None, **notes}
        self.save(body)
        if event is not None:
            self.tell(event, body)
        return body

    def change(self, found: Object, event: str | None = None, **changes: Any) -> bool:
        """Give an object other values and tell what they were before; whether anything differs."""
        before = {name: found.get(name) for name in changes}
        # What changes in place below would be in the past as well.
        before = orjson.loads(orjson.dumps(before))
        found.update(changes)
        self.save(found)
        previous = previous_attributes(before, {name: found[name] for name in changes})
        if previous and event is not None:
            self.tell(event, found, previous)
        return bool(previous)

    def save(self, found: Object) -> None:
        """Keep an object as it is now, and its notes."""
        notes = self._notes[found["id"]]
        customer = found.get("customer")
        values = {
            "id": found["id"],
            "kind": self._kinds[found["id"]],
            "customer": customer if isinstance(customer, str) else None,
            "created": found.get("created", self.now),
            "due_at": notes["due_at"],
            "body": orjson.dumps(found).decode(),
            "notes": orjson.dumps(notes).decode(),
        }
        self.connection.execute(tables.put_object, values)

    def wake(self, found: Object, at: int | None) -> None:
        """Let time do something to an object at a moment; None: never."""
        self._notes[found["id"]]["due_at"] = at
        self.save(found)

    def tell(self, event: str, found: Object, previous: Mapping[str, Any] | None = None) -> None:
        """Record an event, which is then sent to the portal's webhook."""
        body = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": self._api_version,
            "created": self.now,
            "data": {"object": found, **({"previous_attributes": previous} if previous else {})},
            "livemode": False,
            "pending_webhooks": 1,
            "request": self.caller._asdict(),
            "type": event,
        }
        values = {
            "id": body["id"],
            "type": event,
            "object_id": found.get("id") or "",
            "created": self.now,
            "body": orjson.dumps(body).decode(),
            "next_attempt_at": self._sent_at,
        }
        self.connection.execute(tables.insert_event, values)


def new_id(prefix: str) -> str:
    """The id of a new object, as Stripe writes them."""
    return f"{prefix}_{secrets.token_hex(12)}"


def previous_attributes(before: Any, after: Any) -> dict[str, Any]:
    """What an event says of the values before: of an object within only what differs, of a list all of it."""
    differing: dict[str, Any] = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            differing[name] = previous_attributes(old, new)
        else:
            differing[name] = old
    return differing


def listing(entries: list[Object], url: str, *, has_more: bool = False) -> Object:
    """A list as Stripe writes one."""
    return {"object": "list", "data": entries, "has_more": has_more, "url": url}
