"""Operators' accounts: creating, updating and disabling them, and what an operator sees of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from app import typed_text
from app.access.permissions import Permission, Role
from app.context import Context
from app.database.connections import ReadConnection, WriteConnection
from app.errors import NotSignedInError, OperatorNotFoundError, ValidationError
from app.events import Event, EventType, record
from app.services.operators.emails import read_address
from app.services.operators.local_sign_in import LinkOwner, check_password, new_link, replace_password
from sql.statements import api_tokens
from sql.statements import operators as statements

MAX_NAME = 255

Change = Literal["created", "updated", "unchanged"]


class Account(NamedTuple):
    """Who may sign in, and as what."""

    id: int
    email: str
    name: str | None
    role: str
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account and the ways in which it can sign in: a password, a person at the identity provider."""

    id: int
    email: str
    name: str | None
    role: str
    disabled_at: datetime | None
    has_password: bool
    is_bound: bool


class EnsuredOperator(NamedTuple):
    """An account and what had to be done for it; ``link_token`` is the secret part of its sign-in link."""

    email: str
    role: Role
    change: Change
    link_token: str | None


@dataclass(frozen=True, slots=True)
class SignedInOperator:
    """The operator or the program that asks; a program has no address."""

    email: str | None
    name: str | None
    role: Role
    permissions: list[Permission]


class TokenHolder(NamedTuple):
    """The program behind an API token."""

    name: str
    role: str


class Subject(NamedTuple):
    """A person as the identity provider names them for good."""

    issuer: str
    subject: str


async def ensure_operator(
    ctx: Context,
    *,
    email: str,
    role: Role,
    name: str | None = None,
    password: str | None = None,
    is_unbound: bool = False,
) -> EnsuredOperator:
    """Create an operator's account, or give the account this role; a disabled account is enabled again.

    With a password the account has it at once; without one a new sign-in link is made, and earlier ones end. Where
    ``is_unbound`` is set, the account belongs to the next person whom the identity provider sends with the address.
    Raises ValidationError.
    """
    address = read_address(email)
    name = _name(name)
    hashed = None
    if password is not None:
        check_password(password)
        hashed = await ctx.runtime.passwords.hash(password)
    async with ctx.write() as conn:
        change = await _create_or_update(conn, ctx, address, role, name)
        if is_unbound and await _unbind(conn, ctx, address) and change == "unchanged":
            change = "updated"
        account = await conn.one(statements.operator_by_email, Account, email=address)
        token = None
        if hashed is None:
            token = await new_link(conn, ctx, account.id)
        else:
            await replace_password(conn, ctx, LinkOwner(account.id, address), hashed)
    return EnsuredOperator(address, role, change, token)


async def create(
    conn: WriteConnection, ctx: Context, *, email: str, role: Role, name: str | None, bound_to: Subject | None = None
) -> int | None:
    """Store a new account in the caller's transaction and answer its id; None if the address or the person has one."""
    now = ctx.now()
    account_id = await conn.maybe(
        statements.insert_operator,
        int,
        email=email,
        name=name,
        role=role.value,
        oidc_issuer=None if bound_to is None else bound_to.issuer,
        oidc_subject=None if bound_to is None else bound_to.subject,
        created_at=now,
        updated_at=now,
    )
    if account_id is None:
        return None
    metadata = {"email": email, "role": role.value, **_person(bound_to)}
    await record(conn, ctx, Event(EventType.OPERATOR_CREATED, f"Operator {email} created", metadata=metadata))
    return account_id


async def _create_or_update(conn: WriteConnection, ctx: Context, email: str, role: Role, name: str | None) -> Change:
    if await create(conn, ctx, email=email, role=role, name=name) is not None:
        return "created"
    now = ctx.now()
    change = {"of_email": email, "new_role": role.value, "new_name": name, "now": now}
    if not await conn.affected(statements.update_operator, **change):
        return "unchanged"
    await record_update(conn, ctx, email, role)
    return "updated"


async def record_update(
    conn: WriteConnection, ctx: Context, email: str, role: Role, bound_to: Subject | None = None
) -> None:
    """Record that an account was changed, or bound to somebody, in the caller's transaction."""
    metadata = {"email": email, "role": role.value, **_person(bound_to)}
    await record(conn, ctx, Event(EventType.OPERATOR_UPDATED, f"Operator {email} updated", metadata=metadata))


async def disable(ctx: Context, email: str) -> bool:
    """End an account with its sessions and links; False if it was disabled before.

    Raises OperatorNotFoundError.
    """
    address = read_address(email)
    now = ctx.now()
    async with ctx.write() as conn:
        account_id = await conn.maybe(statements.disable_operator, int, of_email=address, now=now)
        if account_id is None:
            if await find_account(conn, address) is None:
                raise OperatorNotFoundError(email=address)
            return False
        await conn.affected(statements.end_sessions_of_operator, operator_id=account_id)
        await conn.affected(statements.delete_sign_in_links_of_operator, operator_id=account_id)
        metadata = {"email": address, "disabled": True}
        await record(conn, ctx, Event(EventType.OPERATOR_UPDATED, f"Operator {address} disabled", metadata=metadata))
    return True


async def unbind(ctx: Context, email: str) -> bool:
    """Give the account to the next person whom the identity provider sends with its address; False if nobody had it.

    Its sessions end. Raises OperatorNotFoundError.
    """
    address = read_address(email)
    async with ctx.write() as conn:
        if await _unbind(conn, ctx, address):
            return True
        if await find_account(conn, address) is None:
            raise OperatorNotFoundError(email=address)
    return False


async def _unbind(conn: WriteConnection, ctx: Context, email: str) -> bool:
    now = ctx.now()
    account_id = await conn.maybe(statements.unbind_from_subject, int, of_email=email, now=now)
    if account_id is None:
        return False
    await conn.affected(statements.end_sessions_of_operator, operator_id=account_id)
    metadata = {"email": email, "unbound": True}
    title = f"Operator {email} unbound from the identity provider"
    await record(conn, ctx, Event(EventType.OPERATOR_UPDATED, title, metadata=metadata))
    return True


def _person(bound_to: Subject | None) -> dict[str, str]:
    return {} if bound_to is None else bound_to._asdict()


async def list_operators(ctx: Context) -> list[ListedAccount]:
    """All accounts, by address; they are few."""
    async with ctx.read() as conn:
        return await conn.many(statements.all_operators, ListedAccount)


async def find_account(conn: ReadConnection, email: str) -> Account | None:
    """The account of an address in lower case."""
    return await conn.maybe(statements.operator_by_email, Account, email=email)


async def me(ctx: Context) -> SignedInOperator:
    """What an operator or a program is and may do; raises NotSignedInError for anybody else."""
    if ctx.actor.type not in {"operator", "program"} or ctx.actor.id is None:
        raise NotSignedInError
    async with ctx.read() as conn:
        if ctx.actor.type == "operator":
            account = await conn.one(statements.operator_by_id, Account, operator_id=ctx.actor.id)
            email, name, role = account.email, account.name, account.role
        else:
            holder = await conn.one(api_tokens.api_token_by_id, TokenHolder, token_id=ctx.actor.id)
            email, name, role = None, holder.name, holder.role
    return SignedInOperator(email, name, Role(role), sorted(ctx.actor.permissions))


def _name(name: str | None) -> str | None:
    """A name as it is stored, None where there is none; raises ValidationError."""
    text = typed_text.stripped(name or "")
    if len(text) > MAX_NAME or "\x00" in text:
        raise ValidationError.of("name", f"A name has at most {MAX_NAME} characters.", kind="string_too_long")
    if text and (fault := typed_text.fault_of_name(text)) is not None:
        raise ValidationError.of("name", f"A name {fault}.", kind="name")
    return text or None
