"""Money: exact to 1e-9 USD, whatever way it goes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.money import MAX_USD, to_nanos, to_usd


@pytest.mark.parametrize(
    ("usd", "nanos"),
    [("0", 0), ("1", 10**9), ("0.000000001", 1), ("1000", 10**12), ("1e9", 10**18), ("0.1000000000", 10**8)],
)
def test_an_amount_is_stored_exactly(usd: str, nanos: int) -> None:
    assert to_nanos(Decimal(usd)) == nanos


@pytest.mark.parametrize(
    "usd",
    ["-0.000000001", "1000000000.000000001", "0.0000000001", "1.00000000000000000000000000001", "NaN", "1e999999"],
)
def test_what_is_no_amount_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match="must"):
        to_nanos(Decimal(usd))


@given(st.floats(min_value=0, max_value=MAX_USD).map(lambda usd: round(usd, 9)))
def test_what_is_answered_and_sent_back_is_the_same(usd: float) -> None:
    nanos = to_nanos(Decimal(str(usd)))

    assert to_usd(nanos) == usd
    assert to_nanos(Decimal(str(to_usd(nanos)))) == nanos
