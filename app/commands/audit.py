"""The audit chain, from the command line."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from app.commands.output import FAILED, AsJson, answer
from app.commands.session import operating
from app.services.operators import audit


async def verify_audit(*, as_json: AsJson = False) -> int:
    """Prove that no event of the audit trail was changed since it was sealed; exit code 1 if one was.

    Keep the last seal that it prints elsewhere: it is what proves later that the end of the chain was not cut off.
    """
    async with operating() as ctx:
        proof = await audit.verify_audit(ctx)
    told = f"{proof.sealed} events are sealed and as they were, {proof.unsealed} wait for their seal."
    if proof.broken is not None:
        told = f"The chain is broken: {proof.broken.message}. Up to there {proof.sealed} events are as they were."
    head = [] if proof.head is None else [Text(f"Last good seal: {proof.head}", style="dim")]
    answer(as_json, asdict(proof), Text(told, style="green" if proof.intact else "red"), *head)
    return 0 if proof.intact else FAILED
