"""The signing keys, from the command line."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.commands.output import answer
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.services.licensing.signing_keys import rotate_keys


async def rotate(
    *,
    compromised: Annotated[
        bool, Parameter(negative=(), help="End the old keys at once: every device refreshes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a signing key and let the old ones run out; no token that is still good stops working."""
    async with operating() as ctx:
        rotation = await rotate_keys(ctx, compromised=compromised)
    answer(
        as_json,
        {
            "kid": rotation.kid,
            "signs_from": rotation.signs_from,
            "old_keys_verify_until": rotation.old_keys_verify_until,
        },
        f"Key {rotation.kid} signs from {rotation.signs_from:%Y-%m-%d %H:%M:%S} UTC on.",
        f"The keys before it verify until {rotation.old_keys_verify_until:%Y-%m-%d %H:%M:%S} UTC.",
    )
