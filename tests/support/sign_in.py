"""Tenants who sign in: a tenant that can be reached, the code that was sent to it, and a session."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from httpx2 import Response
from sqlalchemy import select
from support.live import LiveServer
from support.rows import rows

from app.messages.mailbox import Mailbox, MailboxMessage
from app.services.directory.lookup import Tenant
from app.services.tenants.deliveries import deliver
from app.services.tenants.onboarding import ensure_tenant
from sql.tables import deliveries

GENERATE = "/api/tenant/auth/otp/generate"
VERIFY = "/api/tenant/auth/otp/verify"


@dataclass(frozen=True)
class SignedInTenant:
    """A tenant and the token of its session."""

    id: int
    slug: str
    session_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What its front end sends with each request."""
        return {"x-session-token": self.session_token}


async def reachable(live: LiveServer, email: str | None = "it@example.com", name: str = "") -> Tenant:
    """A new tenant with an e-mail address."""
    slug = f"tenant-{uuid.uuid4().hex[:8]}"
    tenant, _ = await ensure_tenant(live.ctx, name=name or f"The {slug}", slug=slug, email=email)
    return tenant


async def generate(live: LiveServer, slug: str) -> Response:
    """The answer to asking for a code."""
    return await live.http.post(GENERATE, json={"tenant_slug": slug})


async def verify(live: LiveServer, slug: str, code: str) -> Response:
    """The answer to signing in with a code."""
    return await live.http.post(VERIFY, json={"tenant_slug": slug, "otp_code": code})


async def deliver_all(live: LiveServer) -> list[object]:
    """Send what waits, as the durable engine does; how each of it ended."""
    waiting = await rows(live, select(deliveries.c.id).where(deliveries.c.state == "waiting").order_by(deliveries.c.id))
    return [(await deliver(live.ctx, row.id))["state"] for row in waiting]


async def mailed(live: LiveServer) -> list[MailboxMessage]:
    """The development mailbox, newest first."""
    return await Mailbox(live.runtime.settings.state_dir).messages()


def code_in(text: str) -> str:
    """The one-time password in a message."""
    (code,) = re.findall(r"\b\d{6}\b", text)
    return code


def wrong(code: str) -> str:
    """Another code than this one."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def sent_code(live: LiveServer, slug: str) -> str:
    """Ask for a code, have it sent, and read it in the mailbox."""
    assert (await generate(live, slug)).status_code == 200
    assert (await deliver_all(live))[-1] == "sent"
    return code_in((await mailed(live))[0].text)


async def signed_in(live: LiveServer, tenant: Tenant | None = None) -> SignedInTenant:
    """A tenant, or a new one, with a session."""
    tenant = tenant or await reachable(live)
    answer = await verify(live, tenant.slug, await sent_code(live, tenant.slug))
    assert answer.status_code == 200, answer.text
    return SignedInTenant(tenant.id, tenant.slug, answer.json()["session_token"])
