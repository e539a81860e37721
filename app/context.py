"""Who asks, for which tenant, through which worker: the first argument of every use case."""

from __future__ import annotations

from typing import Literal, NamedTuple

from app.errors import SessionMissingError, TokenMissingError
from app.permissions import Permission
from app.rate_limits import Allowance
from app.runtime import Runtime

ActorType = Literal["operator", "tenant", "device", "system"]


# Both are tuples, because each request makes them.


class Actor(NamedTuple):
    """Who acts, as the audit trail will name them; ``id`` is an operator's or an API token's own."""

    type: ActorType
    name: str
    tenant_id: int | None = None
    device_id: int | None = None
    id: int | None = None
    session_id: int | None = None
    permissions: frozenset[Permission] = frozenset()


ANONYMOUS = Actor("device", "not activated yet")


class Context(NamedTuple):
    """One request or one command."""

    runtime: Runtime
    actor: Actor
    request_id: str | None = None
    address: str | None = None
    # What is left of the caller's rate limit, where the way to identify oneself is counted.
    allowance: Allowance | None = None

    @property
    def device(self) -> tuple[int, int]:
        """The tenant and the device that ask; raises TokenMissingError for anybody else."""
        if self.actor.tenant_id is None or self.actor.device_id is None:
            raise TokenMissingError
        return self.actor.tenant_id, self.actor.device_id

    @property
    def tenant_id(self) -> int:
        """The tenant whose session asks; raises SessionMissingError for anybody else."""
        if self.actor.tenant_id is None or self.actor.type != "tenant":
            raise SessionMissingError
        return self.actor.tenant_id
