"""Whether an object has the names that Stripe's own library knows, all the way down."""

from __future__ import annotations

from typing import Any

from stripe._object_classes import get_object_class
from stripe._stripe_object import StripeObject

# Whatever the owner of an account writes there.
FREE = {"metadata", "fraud_details", "evidence", "previous_attributes"}


def unknown_names(found: Any, path: str = "") -> set[str]:
    """The paths of members that Stripe's library does not know of an object of this kind."""
    if isinstance(found, list):
        return {name for each in found for name in unknown_names(each, f"{path}[]")}
    if not isinstance(found, dict) or "object" not in found:
        return set()
    kind = found["object"]
    if kind == "event":
        inner = unknown_names(found["data"]["object"], f"{found['type']}")
        return inner | _unknown(get_object_class("V1", "event"), {**found, "data": {}}, "event")
    return _unknown(get_object_class("V1", kind), found, path or kind)


def _unknown(its_class: type[StripeObject], found: dict[str, Any], path: str) -> set[str]:
    known = {"object"} | {name for each in its_class.__mro__ for name in getattr(each, "__annotations__", {})}
    unknown = {f"{path}.{name}" for name in found if name not in known}
    inner: dict[str, type[StripeObject]] = getattr(its_class, "_inner_class_types", {})
    for name, value in found.items():
        if name in FREE or value is None:
            continue
        here = f"{path}.{name}"
        if isinstance(value, dict) and name in inner:
            unknown |= _unknown(inner[name], value, here)
        elif isinstance(value, list) and name in inner:
            unknown |= {
                each for entry in value if isinstance(entry, dict) for each in _unknown(inner[name], entry, here)
            }
        else:
            unknown |= unknown_names(value, here)
    return unknown
