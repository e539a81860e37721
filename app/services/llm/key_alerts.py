"""An alert when a provider refuses the key of the installation, once a day."""

from __future__ import annotations

import contextlib

import structlog

from app.context import Context
from app.database.connections import as_batch
from app.errors import UnavailableError
from app.services.llm.provider_clients import VENDORS
from app.settings import variable_of
from sql.statements import llm_alerts

TYPE = "provider_key"

log = structlog.get_logger(__name__)


async def key_refused(ctx: Context, provider: str) -> None:
    """Raise the alert of this day; the provider is asked again by the next call, because a key may be put right."""
    variable = next(variable_of(f"{vendor}_api_key") for name, vendor in VENDORS.items() if name == provider)
    log.warning("provider_refuses_key", provider=provider, variable=variable)
    alert = {
        "key": f"{TYPE}:{provider}:{ctx.today()}",
        "type": TYPE,
        "level": "critical",
        "message": f"{provider} refuses the key of this installation",
        "details": f"It is skipped, and the next provider is asked. Put {variable} right.",
        "created_at": ctx.now(),
    }
    # A call does not fail because of its alert.
    with contextlib.suppress(UnavailableError):
        async with ctx.write_autocommit() as conn:
            await conn.affected(llm_alerts.raise_alerts, batch=as_batch([alert]))
