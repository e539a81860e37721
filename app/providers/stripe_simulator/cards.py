"""The cards for tests, with Stripe's own numbers: what each of them does when it is charged."""

from __future__ import annotations

from typing import NamedTuple


class Card(NamedTuple):
    """A card; ``decline`` is why it is not charged: always, or only where nobody is there to help, at a renewal."""

    number: str
    name: str
    brand: str
    token: str
    decline: str | None = None
    declines_later: bool = False
    is_disputed: bool = False

    @property
    def last4(self) -> str:
        """Its last digits, which people see."""
        return self.number[-4:]

    def refuses(self, *, off_session: bool) -> str | None:
        """Why it is not charged, or None."""
        return None if self.declines_later and not off_session else self.decline


CARDS = {
    card.number: card
    for card in (
        Card("4242424242424242", "pays", "visa", "pm_card_visa"),
        Card("5555555555554444", "pays", "mastercard", "pm_card_mastercard"),
        Card(
            "4000000000000341",
            "pays now and fails at every renewal",
            "visa",
            "pm_card_chargeCustomerFail",
            "card_declined",
            declines_later=True,
        ),
        Card("4000000000000002", "is declined", "visa", "pm_card_chargeDeclined", "card_declined"),
        Card(
            "4000000000009995",
            "has not enough money",
            "visa",
            "pm_card_chargeDeclinedInsufficientFunds",
            "insufficient_funds",
        ),
        Card("4000000000000069", "has expired", "visa", "pm_card_chargeDeclinedExpiredCard", "expired_card"),
        Card("4000000000000259", "pays, and is disputed at once", "visa", "pm_card_createDispute", is_disputed=True),
    )
}
BY_TOKEN = {card.token: card for card in CARDS.values()}

# What people are told, by why a card was not charged.
MESSAGES = {
    "card_declined": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
}
