"""Money, told as decimals: models' costs are stored in 1e-9 USD, tenants' payments in a currency's smallest unit."""

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

# Currencies whose smallest unit is the currency itself, as Stripe counts.
_WITHOUT_DECIMALS: Final = frozenset(
    {
        *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
        *("pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"),
    }
)


def in_currency(amount: int, currency: str) -> float:
    """An amount in a currency's smallest unit as it is told: 1250 of ``usd`` is 12.5."""
    return float(amount) if currency in _WITHOUT_DECIMALS else amount / 100
