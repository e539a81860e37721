"""Activation codes, from the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from app.commands.output import MISUSED, CommandFailedError, answer, table
from app.commands.parameters import AsJson, CodeId, TenantSlug
from app.commands.session import operating
from app.services.licensing import codes
from app.services.licensing.codes import NEWEST_FIRST, ActivationCode

PAGE = 500


async def gen_codes(
    *,
    tenant: TenantSlug,
    count: Annotated[int, Parameter(help="How many.")] = 1,
    ttl_days: Annotated[int | None, Parameter(help="Days until they expire; never if absent.")] = None,
    label: Annotated[str | None, Parameter(help="What they are for.")] = None,
    max_uses: Annotated[int, Parameter(help="How many devices each code may bind.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Make activation codes and show them, for the only time."""
    async with operating() as ctx:
        new_codes = await codes.generate_codes(
            ctx, tenant, count=count, ttl_days=ttl_days, label=label, max_uses=max_uses
        )
    note = "Keep it: it is not shown again." if count == 1 else "Keep them: they are not shown again."
    answer(as_json, {"codes": new_codes}, *(Text(code, style="bold") for code in new_codes), Text(note, style="dim"))


async def list_codes(*, tenant: TenantSlug, as_json: AsJson = False) -> None:
    """List a tenant's activation codes, newest first."""
    all_codes: list[ActivationCode] = []
    async with operating() as ctx:
        page = await codes.list_codes(ctx, tenant, page_size=PAGE)
        while page:
            all_codes += page
            page = await codes.list_codes(ctx, tenant, before_id=min(all_codes[-1].id, NEWEST_FIRST), page_size=PAGE)
    columns = ("id", "code", "status", "uses", "expires (UTC)", "label")
    rows = [
        (
            code.id,
            f"…{code.hint}",
            code.status,
            f"{code.use_count}/{code.max_uses}",
            None if code.expires_at is None else f"{code.expires_at:%Y-%m-%d %H:%M}",
            code.label,
        )
        for code in all_codes
    ]
    output = table(columns, rows) if rows else f"No codes yet: portal gen-codes --tenant {tenant}"
    answer(as_json, {"codes": [asdict(code) for code in all_codes]}, output)


async def revoke_code(
    *,
    tenant: TenantSlug,
    code: Annotated[str | None, Parameter(help="The code as it was given out.")] = None,
    code_id: CodeId = None,
    as_json: AsJson = False,
) -> None:
    """Take an activation code back: devices it has bound go on, but cannot activate with it again."""
    if (code is None) == (code_id is None):
        raise CommandFailedError("usage", "Name the code by --code or by --id.", MISUSED)
    async with operating() as ctx:
        revocation = await codes.revoke_code(ctx, tenant, code_id=code_id, code=code or "")
    result = {"id": revocation.id, "hint": revocation.hint, "status": "revoked", "revoked_at": revocation.revoked_at}
    answer(as_json, result, f"Code …{revocation.hint} of {tenant} is revoked.")
