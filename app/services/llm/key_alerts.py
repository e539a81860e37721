"""An alert when a provider refuses the key of the installation, once a day."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from app.context import Context
from app.errors import UnavailableError
from app.services.llm.alerts import NewAlert, raise_alerts
from app.services.llm.provider_clients import VENDORS
from app.settings import variable_of
from sql.statements import llm_calls

TYPE = "provider_key"
# How long the doctor speaks of a key that nobody has put right, or has, without a call since.
TOLD_FOR = timedelta(days=1)

log = structlog.get_logger(__name__)


class KeyAlert(NamedTuple):
    """An alert's key, which names the provider, and its time."""

    key: str
    created_at: datetime


async def key_refused(ctx: Context, provider: str) -> None:
    """Raise the alert of this day; the provider is asked again by the next call, because a key may be put right."""
    variable = next(variable_of(f"{vendor}_api_key") for name, vendor in VENDORS.items() if name == provider)
    log.warning("provider_refuses_key", provider=provider, variable=variable)
    alert = NewAlert(
        key=f"{_prefix(provider)}{ctx.today()}",
        type=TYPE,
        level="critical",
        message=f"{provider} refuses the key of this installation",
        details=f"It is skipped, and the next provider is asked. Put {variable} right.",
    )
    # A call does not fail because of its alert.
    with contextlib.suppress(UnavailableError):
        async with ctx.write() as conn:
            announcement = await raise_alerts(conn, ctx, [alert])
        announcement.committed(ctx)


async def providers_that_refused(ctx: Context) -> dict[str, datetime]:
    """The providers that have refused the key within a day, unless the alert was dismissed; and when."""
    values = {"type": TYPE, "since": ctx.now() - TOLD_FOR}
    async with ctx.read() as conn:
        alerts = await conn.many(llm_calls.refused_keys, KeyAlert, **values)
    return {provider: at for key, at in alerts for provider in VENDORS if key.startswith(_prefix(provider))}


def _prefix(provider: str) -> str:
    return f"{TYPE}:{provider}:"
