"""The audit trail: what may happen, and recording it in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from app.context import Context
from app.database.connections import WriteConnection
from sql.statements import events as statements

# A place before every event: transaction numbers may be negative where the trail was restored into another cluster.
NOWHERE = (-(2**62), 0)
# Longer titles are cut: they contain a name of full length, which the metadata or the row has too.
MAX_TITLE = 255


class EventType(StrEnum):
    """Every kind of event in the trail; the value is what is stored."""

    ALERT_DISMISSED = "alert_dismissed"
    API_TOKEN_CREATED = "api_token_created"  # noqa: S105 - the name of an event
    API_TOKEN_REVOKED = "api_token_revoked"  # noqa: S105 - the name of an event
    BILLING_REPAIRED = "billing_repaired"
    CODE_ACTIVATED = "code_activated"
    CODE_ASSIGNED = "code_assigned"
    CODE_GENERATED = "code_generated"
    CODE_REVOKED = "code_revoked"
    CONFIG_UPDATED = "config_updated"
    CONTACT_CHANGE_REFUSED = "contact_change_refused"
    CONTACT_CHANGE_REQUESTED = "contact_change_requested"
    DELIVERY_FAILED = "delivery_failed"
    DEVICE_CLONED = "device_cloned"
    DEVICE_ENROLLED = "device_enrolled"
    DEVICE_REACTIVATED = "device_reactivated"
    DEVICE_IDLE = "device_idle"
    DEVICE_REINSTATED = "device_reinstated"
    DEVICE_RELEASED = "device_released"
    DEVICE_RETURNED = "device_returned"
    DEVICE_REVOKED = "device_revoked"
    GRACE_BEGUN = "grace_begun"
    GRACE_ENDED = "grace_ended"
    OPERATOR_CREATED = "operator_created"
    OPERATOR_UPDATED = "operator_updated"
    PLAN_CREATED = "plan_created"
    PLAN_UPDATED = "plan_updated"
    PROJECT_CREATED = "project_created"
    PROJECT_DELETED = "project_deleted"
    PROJECT_UPDATED = "project_updated"
    PURCHASE_REFUNDED = "purchase_refunded"
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105 - the name of an event
    RUN_CANCELLED = "run_cancelled"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_STARTED = "run_started"
    SESSION_CREATED = "session_created"
    SESSION_EXPIRED = "session_expired"
    SIGN_IN_LINK_CREATED = "sign_in_link_created"
    SIGNING_KEY_ROTATED = "signing_key_rotated"
    STRIPE_EVENTS_REPLAYED = "stripe_events_replayed"
    SUBSCRIPTION_CREATED = "subscription_created"
    SUBSCRIPTION_DOUBLED = "subscription_doubled"
    SUBSCRIPTION_UPDATED = "subscription_updated"
    TEMPLATE_DELETED = "template_deleted"
    TENANT_CREATED = "tenant_created"
    TENANT_DELETED = "tenant_deleted"
    TENANT_UPDATED = "tenant_updated"
    TRIAL_ENDED = "trial_ended"
    TRIAL_ENDING = "trial_ending"
    USAGE_VOIDED = "usage_voided"
    USER_LOGIN = "user_login"
    USER_LOGOUT = "user_logout"

    @property
    def severity(self) -> str:
        """``minor`` for what happens every day, revoked devices among it; ``major`` for everything else."""
        return "minor" if self in _MINOR else "major"


_MINOR = frozenset(
    {
        EventType.ALERT_DISMISSED,
        EventType.CODE_ACTIVATED,
        EventType.CODE_ASSIGNED,
        EventType.CONFIG_UPDATED,
        EventType.DEVICE_ENROLLED,
        EventType.DEVICE_REACTIVATED,
        EventType.DEVICE_IDLE,
        EventType.DEVICE_REINSTATED,
        EventType.DEVICE_RELEASED,
        EventType.DEVICE_RETURNED,
        EventType.DEVICE_REVOKED,
        EventType.RUN_COMPLETED,
        EventType.RUN_STARTED,
        EventType.SESSION_CREATED,
        EventType.SESSION_EXPIRED,
        EventType.TEMPLATE_DELETED,
        EventType.USER_LOGIN,
        EventType.USER_LOGOUT,
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; ``metadata`` never holds a secret."""

    type: EventType
    title: str
    tenant_id: int | None = None
    code_id: int | None = None
    device_id: int | None = None
    project_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class StoredEvent(NamedTuple):
    """One row of the trail; ``(xid, id)`` is its place in the reading order, ``metadata`` is JSON."""

    id: int
    xid: int
    event_type: str
    severity: str
    title: str
    actor_type: str
    actor_name: str
    actor_id: int | None
    tenant_id: int | None
    code_id: int | None
    device_id: int | None
    project_id: str | None
    metadata: str
    request_id: str | None
    created_at: datetime

    @property
    def cursor(self) -> tuple[int, int]:
        """Where to read on after this row."""
        return self.xid, self.id


async def record(conn: WriteConnection, ctx: Context, *events: Event) -> None:
    """Write events in the caller's transaction, with one statement; they exist if and only if it commits."""
    await record_each(conn, ((ctx, event) for event in events))


async def record_each(conn: WriteConnection, events: Iterable[tuple[Context, Event]]) -> None:
    """Write events of several actors that share a transaction, with one statement."""
    await conn.insert_all(
        statements.insert_events,
        [
            {
                "event_type": event.type.value,
                "severity": event.type.severity,
                "title": event.title[:MAX_TITLE],
                "actor_type": ctx.actor.type,
                "actor_name": ctx.actor.name,
                "actor_id": ctx.actor.id,
                "tenant_id": event.tenant_id,
                "code_id": event.code_id,
                "device_id": event.device_id,
                "project_id": event.project_id,
                "metadata": orjson.dumps(event.metadata, option=orjson.OPT_UTC_Z).decode(),
                "request_id": ctx.request_id,
                "created_at": ctx.now(),
            }
            for ctx, event in events
        ],
    )
