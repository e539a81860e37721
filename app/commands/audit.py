"""The audit chain, from the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from app.commands.output import FAILED, MISUSED, CommandFailedError, answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.audit import chain

SEAL_BYTES = 32


async def verify_audit(
    *,
    expect: Annotated[
        str | None, Parameter(help="A last good seal that was printed before and kept elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Prove that no event of the audit trail was changed since it was sealed; exit code 1 if one was.

    Keep the last seal that it prints elsewhere, and name it by --expect the next time: that proves that the end of the
    chain was not cut off.
    """
    expected = None if expect is None else _seal(expect)
    async with operating() as ctx:
        proof = await chain.verify_audit(ctx, expected=expected)
    message = f"{proof.sealed} events are sealed and as they were, {proof.unsealed} wait for their seal."
    if proof.expected_at is not None:
        message += f" The expected seal is that of number {proof.expected_at}."
    if proof.broken is not None:
        message = f"The chain is broken: {proof.broken.message}. Up to there {proof.sealed} events are as they were."
    head = [] if proof.head is None else [Text(f"Last good seal: {proof.head}", style="dim")]
    answer(as_json, asdict(proof), Text(message, style="green" if proof.intact else "red"), *head)
    return 0 if proof.intact else FAILED


def _seal(text: str) -> bytes:
    """Parse a seal as the command prints it; raises CommandFailedError."""
    try:
        seal = bytes.fromhex(text)
    except ValueError:
        seal = b""
    if len(seal) != SEAL_BYTES:
        message = f"--expect takes a last good seal as it was printed, {2 * SEAL_BYTES} hexadecimal digits."
        raise CommandFailedError("usage", message, MISUSED)
    return seal
