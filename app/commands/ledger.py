"""The ledger, from the command line."""

from __future__ import annotations

from rich.text import Text

from app.commands.output import FAILED, answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.ledger.upkeep import verify


async def verify_ledger(*, as_json: AsJson = False) -> int:
    """Prove that accounts are the sums of their reservations, and these of their entries; exit code 1 if one is not."""
    async with operating() as ctx:
        proof = await verify(ctx)
    message = (
        f"{proof.compared} accounts are the sums of their reservations, and these of their entries."
        if proof.is_right
        else f"{len(proof.accounts)} accounts and {len(proof.reservations)} reservations differ from their entries."
    )
    result = {
        "is_right": proof.is_right,
        "compared": proof.compared,
        "accounts": [account._asdict() for account in proof.accounts],
        "reservations": [reservation._asdict() for reservation in proof.reservations],
    }
    answer(as_json, result, Text(message, style="green" if proof.is_right else "red"))
    return 0 if proof.is_right else FAILED
