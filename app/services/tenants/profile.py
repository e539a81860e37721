"""A tenant's profile as it is stored, and storing what differs from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.context import Context
from app.database.connections import WriteConnection
from app.errors import ValidationError
from app.events import Event, EventType, record
from sql.folding import key
from sql.statements import tenant_changes as statements

# Where one-time passwords go.
CONTACTS = ("email", "phone_number")
# By the way in which one-time passwords are sent: the fields of which one must be filled in.
_ADDRESSES_OF = {
    "email": ("email",),
    "sms": ("phone_number",),
    "whatsapp": ("phone_number",),
    "both": ("email", "phone_number"),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be changed of a tenant, as it is stored."""

    id: int
    slug: str
    name: str
    logo_url: str | None
    primary_color: str | None
    domain: str | None
    email: str | None
    phone_number: str | None
    otp_delivery_method: str

    def contacts(self, changes: Mapping[str, Any]) -> dict[str, str | None]:
        """Of these changes, those that move where one-time passwords go."""
        return {name: changes[name] for name in CONTACTS if name in changes and changes[name] != getattr(self, name)}


async def store_changes(conn: WriteConnection, ctx: Context, profile: Profile, changes: Mapping[str, Any]) -> None:
    """Store and record what differs from the stored profile; nothing, where nothing differs.

    The caller's transaction has locked the profile. Raises ValidationError for a way to send one-time passwords that
    has no address.
    """
    new_values = {name: value for name, value in changes.items() if value != getattr(profile, name)}
    if not new_values:
        return
    if "otp_delivery_method" in new_values:
        _check_reachable(profile, new_values)
    folded = {"folded_name": key(new_values["name"])} if "name" in new_values else {}
    await conn.affected(statements.set_tenant, of_id=profile.id, **new_values, **folded, updated_at=ctx.now())
    differences = {name: {"from": getattr(profile, name), "to": value} for name, value in new_values.items()}
    title = f"Tenant {new_values.get('name', profile.name)} updated"
    metadata = {"slug": profile.slug, "changes": differences}
    await record(conn, ctx, Event(EventType.TENANT_UPDATED, title, tenant_id=profile.id, metadata=metadata))


def _check_reachable(profile: Profile, new_values: Mapping[str, Any]) -> None:
    """Refuse a way of sending one-time passwords for which the tenant has no address: nobody could sign in any more."""
    addresses = _ADDRESSES_OF[new_values["otp_delivery_method"]]
    if not any(new_values.get(name, getattr(profile, name)) for name in addresses):
        needed = " or ".join(name.replace("_", " ") for name in addresses)
        raise ValidationError.of("otp_delivery_method", f"needs the tenant's {needed}", kind="no_address")
