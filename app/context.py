"""Who asks, for which tenant, through which worker: the first argument of every use case."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Literal, NamedTuple

from pydantic import SecretStr

from app.access.permissions import Permission
from app.calendar import Month
from app.database.connections import Checkout, ReadConnection, WriteConnection
from app.database.key_holds import KeyHold, confirm_key_holds
from app.errors import SessionMissingError, TokenMissingError
from app.limits.rate_limits import Allowance
from app.runtime import Runtime

ActorType = Literal["operator", "tenant", "device", "system"]


# All are tuples, because each request makes them.


class Actor(NamedTuple):
    """Who acts, as the audit trail will name them; ``id`` is an operator's or an API token's own."""

    type: ActorType
    name: str
    tenant_id: int | None = None
    device_id: int | None = None
    id: int | None = None
    session_id: int | None = None
    permissions: frozenset[Permission] = frozenset()


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


ANONYMOUS = Actor("device", "not activated yet")


class Context(NamedTuple):
    """One request or one command; with a tenant's session, what was read of it, and the token that was shown."""

    runtime: Runtime
    actor: Actor
    request_id: str | None = None
    address: str | None = None
    # What is left of the caller's rate limit, where the way to identify oneself is counted.
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
        return self.now().astimezone(self.runtime.zone).date()

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

    @property
    def device(self) -> tuple[int, int]:
        """The tenant and the device that ask; raises TokenMissingError for anybody else."""
        if self.actor.tenant_id is None or self.actor.device_id is None:
            raise TokenMissingError
        return self.actor.tenant_id, self.actor.device_id

    @property
    def tenant_id(self) -> int:
        """The tenant whose session asks; raises SessionMissingError for anybody else."""
        return self._own_session.tenant_id

    @property
    def tenant_slug(self) -> str:
        """The slug of the tenant whose session asks; raises SessionMissingError for anybody else."""
        return self._own_session.tenant_slug

    @property
    def _own_session(self) -> Session:
        if self.session is None:
            raise SessionMissingError
        return self.session
