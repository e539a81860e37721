"""Money: stored as whole numbers of 1e-9 USD, told as decimals in USD."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainSerializer

NANOS_PER_USD: Final = 1_000_000_000
# The bounds of an amount that a request may name.
MAX_USD: Final = 1_000_000_000
MAX_DECIMALS: Final = 9


def to_nanos(usd: Decimal) -> int:
    """An amount as it is stored; raises ValueError where it is not from 0 to MAX_USD with at most nine decimals."""
    if not usd.is_finite() or not 0 <= usd <= MAX_USD:
        raise ValueError(f"must be from 0 to {MAX_USD} USD")
    # A product would be rounded to the digits of the decimal context, and hide the decimals behind them.
    if usd != usd.quantize(Decimal(1).scaleb(-MAX_DECIMALS)):
        raise ValueError(f"must have at most {MAX_DECIMALS} decimals")
    return int(usd.scaleb(MAX_DECIMALS))


def to_usd(nanos: int) -> float:
    """A stored amount as it is told."""
    return nanos / NANOS_PER_USD


def _exact(usd: float) -> float:
    return to_usd(to_nanos(Decimal(str(usd))))


# An amount that a request names.
Usd = Annotated[
    float,
    Field(ge=0, le=MAX_USD, allow_inf_nan=False, description=f"USD from 0 to {MAX_USD}, with at most nine decimals"),
    AfterValidator(_exact),
]

# In a record that is answered as it is: an amount as it is stored, which the answer tells in USD.
Nanos = Annotated[int, PlainSerializer(to_usd, return_type=float)]
