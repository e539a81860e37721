"""A column of values is answered as the library answers each of them, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from graphql import GraphQLBoolean, GraphQLFloat, GraphQLInt, GraphQLString
from hypothesis import given, settings
from hypothesis import strategies as st

from app.execution.plain import PLAIN, NotPlainError, PlainField
from app.resolvers.schema import schema

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
# The same moment, which is written in another way.
ELSEWHERE = NOON.astimezone(timezone(timedelta(hours=2)))
LEAVES: dict[str, Any] = {
    **{leaf.name: leaf for leaf in (GraphQLBoolean, GraphQLFloat, GraphQLInt, GraphQLString)},
    **{name: schema().type_map[name] for name in ("DateTime", "TaskStatus")},
}
# Of each class some that some leaf is, and some that none can be; others are equal and answered differently.
VALUES: dict[type[Any], list[Any]] = {
    str: ["", "pending", "running", "PENDING", "5"],
    int: [0, 1, -1, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1],
    float: [0.0, -0.0, 1.0, 1.5, float("inf"), float("-inf"), float("nan")],
    bool: [True, False],
    datetime: [NOON, ELSEWHERE],
    bytes: [b"5"],
}


def columns() -> st.SearchStrategy[list[Any]]:
    """Most of one class, as those of a table, with nulls or without; some of several."""
    of_one = [st.sampled_from(values) for values in VALUES.values()]
    everything = st.sampled_from([value for values in VALUES.values() for value in values])
    return st.one_of(
        *(st.lists(one, max_size=4) for one in of_one),
        *(st.lists(one | st.none(), max_size=4) for one in of_one),
        st.lists(everything, max_size=4),
    )


def answered(field: PlainField, values: list[Any]) -> list[Any] | None:
    """What the library says of each by itself; None where it refuses one, or would have to wait."""
    told = []
    for value in values:
        if (value is None and field.is_non_null) or (value is not None and type(value) not in PLAIN):
            return None
        try:
            told.append(None if value is None else field.leaf.coerce_output_value(value))
        except Exception:  # noqa: BLE001 - a refusal of any kind
            return None
    return told


@pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES)
@given(values=columns(), is_non_null=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_column_is_answered_as_each_of_its_values(leaf: Any, values: list[Any], is_non_null: bool) -> None:
    field = PlainField("field", "attribute", leaf, is_non_null)
    wanted = answered(field, values)

    try:
        found = list(field.column(values))
    except Exception:  # noqa: BLE001 - whatever it is, the library completes the list then
        found = None

    # The texts tell 1 from True, 0.0 from -0.0 and one zone from another.
    assert str(found) == str(wanted)


def test_what_is_no_plain_value_is_left_to_the_library() -> None:
    for value in (b"5", None, object()):
        with pytest.raises(NotPlainError):
            PlainField("field", "attribute", GraphQLString, True).column(["text", value])
