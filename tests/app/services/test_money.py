"""Money: whole numbers inside, decimals outside, and nothing in between is lost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.money import to_nanos, to_usd


@pytest.mark.parametrize(
    ("usd", "nanos"),
    [
        ("0", 0),
        ("12.5", 12_500_000_000),
        ("0.000000001", 1),
        ("1e-9", 1),
        ("1000000000", 10**18),
        ("999999999.999999999", 10**18 - 1),
    ],
)
def test_an_amount_is_stored_whole_and_told_as_decimals(usd: str, nanos: int) -> None:
    assert to_nanos(Decimal(usd)) == nanos
    assert to_usd(nanos) == float(usd)


@pytest.mark.parametrize("usd", ["-0.01", "1000000000.000000001", "0.0000000001", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_amount_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match="must"):
        to_nanos(Decimal(usd))
