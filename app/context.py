"""Who asks, for which tenant, through which worker: the first argument of every use case."""

from __future__ import annotations

from typing import Literal, NamedTuple

from app.errors import TokenMissingError
from app.runtime import Runtime

ActorType = Literal["operator", "tenant", "device", "system"]


# Both are tuples, because each request makes them.


class Actor(NamedTuple):
    """Who acts, as the audit trail will name them."""

    type: ActorType
    name: str
    tenant_id: int | None = None
    device_id: int | None = None


ANONYMOUS = Actor("device", "not activated yet")


class Context(NamedTuple):
    """One request or one command."""

    runtime: Runtime
    actor: Actor
    request_id: str | None = None
    address: str | None = None

    @property
    def device(self) -> tuple[int, int]:
        """The tenant and the device that ask; raises TokenMissingError for anybody else."""
        if self.actor.tenant_id is None or self.actor.device_id is None:
            raise TokenMissingError
        return self.actor.tenant_id, self.actor.device_id
