"""Facts that a customer's state is folded from, and the snapshots of Stripe's objects that they hold; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

Source = Literal["stripe", "operator", "gateway", "reconciliation", "portal"]

# What an operator or the portal itself says; every other fact holds a snapshot of an object.
OPERATOR_CHANGE: Final = "subscription.changed"
TRIAL_ENDED: Final = "trial.ended"
GRACE_ENDED: Final = "grace.ended"

# The kinds of objects from which something follows.
KINDS: Final = frozenset(
    {
        "subscription",
        "invoice",
        "invoice_payment",
        "checkout.session",
        "customer",
        "payment_method",
        "charge",
        "dispute",
    }
)
# An amount has twelve digits at most, in whatever currency: millions of them can be added.
MAX_AMOUNT: Final = 10**12
# Within one second: a kind of event stands above those that it can only come after.
_RANKS: Final = {
    "created": 0,
    "succeeded": 1,
    "finalized": 1,
    "payment_failed": 3,
    "failed": 3,
    "marked_uncollectible": 4,
    "paid": 5,
    "payment_succeeded": 5,
    "async_payment_failed": 5,
    "async_payment_succeeded": 6,
    "voided": 6,
    "expired": 6,
    "closed": 6,
    "refunded": 6,
    "detached": 6,
    "deleted": 9,
}
_ANY_OTHER_RANK: Final = 2
# An invoice and a session only go forward, whatever the event is called that says so.
_STAGES: Final = {
    "invoice": {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3},
    "checkout.session": {"open": 0, "complete": 1, "expired": 1},
}
LAST_RANK: Final = 9


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the log; ``payload`` is Stripe's event, or ``object`` with ``covers``, or what an operator said."""

    id: int
    source: Source
    reference: str
    type: str
    object_id: str | None
    happened_at: datetime
    payload: Mapping[str, Any]


class Snapshot(NamedTuple):
    """How an object stood, by one fact; ``previous`` are the values that the event has replaced.

    ``covers`` are the references of the facts that were known when it was fetched, which it therefore stands above.
    """

    fact_id: int
    reference: str
    type: str
    at: datetime
    rank: tuple[int, int]
    object: Mapping[str, Any]
    previous: Mapping[str, Any]
    is_fetched: bool
    covers: frozenset[str]
    fetched_at: str

    @property
    def place(self) -> tuple[datetime, tuple[int, int]]:
        """By which events of different seconds, or of different kinds, are in order."""
        return self.at, self.rank


class UnreadableFactError(Exception):
    """A fact does not hold what its kind should; ``str`` says what is wrong."""


def snapshot_of(fact: Fact) -> tuple[str, str, Snapshot] | None:
    """The kind and the id of the object that a fact tells of, and its snapshot; None where it is of no such kind.

    Raises UnreadableFactError.
    """
    data = fact.payload.get("data") if fact.source == "stripe" else fact.payload
    found = data.get("object") if isinstance(data, Mapping) else None
    if fact.source in {"operator", "portal"} or (found is None and fact.source != "stripe"):
        # Stripe was asked for an object, and has none.
        return None
    if not isinstance(found, Mapping):
        raise UnreadableFactError("it holds no object")
    kind, object_id = found.get("object"), found.get("id")
    if kind not in KINDS or not object_id:
        # An invoice that is only announced has no id.
        return None
    if not isinstance(object_id, str):
        raise UnreadableFactError("the id of its object is no text")
    is_fetched = fact.source != "stripe"
    previous = fact.payload.get("data", {}).get("previous_attributes") if not is_fetched else None
    covers = fact.payload.get("covers", ()) if is_fetched else ()
    return (
        kind,
        object_id,
        Snapshot(
            fact.id,
            fact.reference,
            fact.type,
            fact.happened_at,
            (_stage_of(kind, found), _RANKS.get(fact.type.rpartition(".")[2], _ANY_OTHER_RANK)),
            found,
            previous if isinstance(previous, Mapping) else {},
            is_fetched,
            frozenset(covers),
            str(fact.payload.get("fetched_at", "")) if is_fetched else "",
        ),
    )


def _stage_of(kind: str, found: Mapping[str, Any]) -> int:
    return _STAGES.get(kind, {}).get(str(found.get("status")), 0)


def reference_to(value: object) -> str | None:
    """The id of an object that another one names, by its id or expanded."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def moment_of(value: object) -> datetime | None:
    """A moment as Stripe writes it, in seconds since 1970; None where there is none. Raises UnreadableFactError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**33:
        raise UnreadableFactError(f"{value!r} is no moment")
    return datetime.fromtimestamp(value, UTC)


def amount_of(value: object) -> int:
    """An amount in minor units; nothing is nothing. Raises UnreadableFactError."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= MAX_AMOUNT:
        raise UnreadableFactError(f"{value!r} is no amount")
    return value


def first_item(subscription: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item by which a subscription of the portal is paid; empty where it has none."""
    items = subscription.get("items")
    data: Sequence[Any] = items.get("data", ()) if isinstance(items, Mapping) else ()
    return data[0] if data and isinstance(data[0], Mapping) else {}


def price_of(subscription: Mapping[str, Any]) -> str | None:
    """The price of a subscription, by its first item."""
    item = first_item(subscription)
    return reference_to(item.get("price")) or reference_to(item.get("plan"))


def metadata_of(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata of an object; empty where it has none."""
    metadata = found.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def number_in(metadata: Mapping[str, Any], name: str) -> int | None:
    """A positive whole number that metadata hold as text; None where there is none or it is none."""
    text = str(metadata.get(name, "")).strip()
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text[:19]) < 2**63 else None
