"""Who calls, for which tenant, through which worker: the first argument of every use case."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Literal, NamedTuple

from pydantic import SecretStr

from app.access.permissions import Permission
from app.calendar import Month, day_of
from app.database.connections import Checkout, ReadConnection, WriteConnection
from app.database.key_holds import KeyHold, confirm_key_holds
from app.errors import SessionNotSentError, TokenNotSentError
from app.limits.rate_limits import Allowance
from app.runtime import Runtime

ActorType = Literal["operator", "program", "tenant", "device", "visitor", "stripe", "system"]


# All are tuples, because each request makes them.


class Actor(NamedTuple):
    """Who acts, as the audit trail will name them; ``id`` is that of an operator's account or of a program's token."""

    type: ActorType
    name: str
    tenant_id: int | None = None
    device_id: int | None = None
    id: int | None = None
    session_id: int | None = None
    permissions: frozenset[Permission] = frozenset()

    @classmethod
    def of_device(cls, tenant_id: int, device_id: int) -> Actor:
        """A device that has proved which one it is."""
        return cls("device", f"device {device_id}", tenant_id, device_id)


class Session(NamedTuple):
    """A tenant's session and its tenant; ``expires_at`` is the absolute end, which nothing moves."""

    id: int
    tenant_id: int
    tenant_slug: str
    tenant_name: str
    last_activity: datetime
    expires_at: datetime
    created_at: datetime

    @property
    def actor(self) -> Actor:
        """The tenant, as the audit trail will name it."""
        return Actor("tenant", self.tenant_name, self.tenant_id, session_id=self.id)


# Whoever has not proved who they are: somebody at a sign-in form, or hardware that asks for its activation.
VISITOR = Actor("visitor", "visitor")


class Context(NamedTuple):
    """One request or one command; for a tenant also its session and the session's token."""

    runtime: Runtime
    actor: Actor
    request_id: str | None = None
    address: str | None = None
    # What is left of the caller's rate limit, for callers whose requests are counted.
    allowance: Allowance | None = None
    session: Session | None = None
    session_token: SecretStr | None = None
    # Held while the request runs, where it brought an Idempotency-Key.
    key_hold: KeyHold | None = None

    def now(self) -> datetime:
        """The current moment in UTC."""
        return self.runtime.clock.now()

    def today(self) -> date:
        """The running day in the installation's time zone."""
        return day_of(self.now(), self.runtime.zone)

    def month(self) -> Month:
        """The running month in the installation's time zone."""
        return Month.of(self.today(), self.runtime.zone)

    def read(self) -> Checkout[ReadConnection]:
        """A connection for reading: one round trip per statement, and no transaction around them."""
        return self.runtime.db.read()

    @contextlib.asynccontextmanager
    async def write(self, *, is_final: bool = True) -> AsyncIterator[WriteConnection]:
        """A transaction; under an Idempotency-Key it is committed only while this request still holds the key.

        After the commit no repeat of the request runs again under that key, unless ``is_final`` is False.
        """
        async with self.runtime.db.write() as conn:
            yield conn
            if self.key_hold is not None:
                await confirm_key_holds(conn, [self.key_hold], self.runtime.clock, is_final=is_final)

    def write_autocommit(self) -> Checkout[WriteConnection]:
        """A connection for one changing statement, a transaction by itself: one round trip instead of three.

        Nothing confirms here that this request still holds its Idempotency-Key: it is for what may happen twice.
        """
        return self.runtime.db.write_autocommit()

    def as_device(self, tenant_id: int, device_id: int) -> Context:
        """The same call with a device as the caller, once its code or its token has proved which one it is."""
        return self._replace(actor=Actor.of_device(tenant_id, device_id))

    @property
    def device(self) -> tuple[int, int]:
        """The calling device, with its tenant first; raises TokenNotSentError for any other caller."""
        if self.actor.tenant_id is None or self.actor.device_id is None:
            raise TokenNotSentError
        return self.actor.tenant_id, self.actor.device_id

    @property
    def tenant_id(self) -> int:
        """The tenant whose session this is; raises SessionNotSentError for any other caller."""
        return self._own_session.tenant_id

    @property
    def tenant_slug(self) -> str:
        """The slug of the tenant whose session this is; raises SessionNotSentError for any other caller."""
        return self._own_session.tenant_slug

    @property
    def _own_session(self) -> Session:
        if self.session is None:
            raise SessionNotSentError
        return self.session
