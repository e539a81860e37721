"""Rehearsing a tenant's history at Stripe, from the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter, validators
from rich.text import Text

from app.commands.output import FAILED, answer, escape
from app.commands.parameters import AsJson, TenantSlug
from app.commands.session import operating
from app.services.payments import rehearsal


async def stripe_rehearse(
    *,
    tenant: TenantSlug,
    rounds: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=10_000), help="How many times.")] = 20,
    seed: Annotated[str, Parameter(help="Another one gives other orders.")] = "portal",
    as_json: AsJson = False,
) -> int:
    """Replay a tenant's history shuffled, doubled and interrupted in scratch databases; exit code 1 if ends differ.

    Nothing of the portal is changed.
    """
    async with operating() as ctx:
        result = await rehearsal.rehearse(ctx, tenant, rounds=rounds, seed=seed)
    told = f"{result.facts} facts of {escape(result.tenant)}, {result.rounds} rounds, {result.crashes} crashes:"
    end = "all end as the straight order does, and as is stored."
    if result.different:
        end = f"rounds {', '.join(map(str, result.different))} end otherwise than the straight order."
    elif not result.is_as_stored:
        again = f"portal stripe replay --tenant {escape(result.tenant)}"
        end = f"all end alike, but what is stored is something else. Try: {again}"
    text = Text(f"{told} {end}", style="green" if result.is_good else "red")
    answer(as_json, {**asdict(result), "is_good": result.is_good}, text, Text(f"Hash: {result.hash}", style="dim"))
    return 0 if result.is_good else FAILED
