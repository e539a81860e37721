"""Operators and API tokens, from the command line."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from app.access.permissions import Role
from app.commands.output import answer, escape, table
from app.commands.parameters import AsJson
from app.commands.session import operating
from app.errors import ValidationError
from app.services.operators import accounts, api_tokens

LINK_PATH = "/auth/link/"
SIGN_IN_PATH = "/admin/login"

Address = Annotated[str, Parameter(help="The operator's e-mail address.")]
RoleOption = Annotated[Role, Parameter(help="What they may do: owner, operator or read-only.")]


async def create_operator(
    *,
    email: Address,
    role: RoleOption | None = None,
    name: Annotated[str | None, Parameter(help="What they are called.")] = None,
    password_stdin: Annotated[
        bool, Parameter(negative=(), help="Read the password from the first line of standard input.")
    ] = False,
    unbind: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Free the account from its person at the identity provider: the next one with this address has it."
            " Without a role nothing else is changed.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create an operator, or give one another role, and make a link to sign in; a disabled one is enabled again.

    The link works once. Repeating the command makes a new one, and ends the one before.
    """
    if role is None:
        await _unbind_alone(email, is_alone=unbind and name is None and not password_stdin, as_json=as_json)
        return
    password = (await asyncio.to_thread(sys.stdin.readline)).rstrip("\r\n") if password_stdin else None
    async with operating() as ctx:
        operator = await accounts.ensure_operator(
            ctx, email=email, role=role, name=name, password=password, is_unbound=unbind
        )
        public_url = ctx.runtime.settings.public_url.rstrip("/")
        hours = ctx.runtime.settings.sign_in_link_seconds / 3600
    path = SIGN_IN_PATH if operator.link_token is None else LINK_PATH + operator.link_token
    note = "They sign in by the password there." if password_stdin else f"It works once, within {hours:g} hours."
    answer(
        as_json,
        {"email": operator.email, "sign_in_url": public_url + path},
        f"Operator {escape(operator.email)} {operator.change}: {escape(operator.role.value)}.",
        Text(public_url + path, style="bold"),
        Text(note, style="dim"),
    )


async def list_operators(*, as_json: AsJson = False) -> None:
    """List the operators, by address."""
    async with operating() as ctx:
        operators = await accounts.list_operators(ctx)
    columns = ("id", "e-mail", "role", "state", "password", "provider", "name")
    rows = [
        (
            account.id,
            account.email,
            account.role,
            "active" if account.disabled_at is None else "disabled",
            "yes" if account.has_password else None,
            "bound" if account.is_bound else None,
            account.name,
        )
        for account in operators
    ]
    output = table(columns, rows) if rows else "No operators yet: portal create-operator --email … --role owner"
    answer(as_json, {"operators": [asdict(account) for account in operators]}, output)


async def _unbind_alone(email: str, *, is_alone: bool, as_json: bool) -> None:
    if not is_alone:
        message = "What they may do is missing: owner, operator or read-only; only --unbind alone needs none."
        raise ValidationError.of("role", message, kind="missing")
    async with operating() as ctx:
        is_new = await accounts.unbind(ctx, email)
    message = f"Operator {escape(email)} {'is bound to nobody any more' if is_new else 'was bound to nobody'}."
    answer(as_json, {"email": email.strip().lower(), "change": "unbound" if is_new else "unchanged"}, message)


async def disable_operator(*, email: Address, as_json: AsJson = False) -> None:
    """Keep an operator out, and end their sessions and links; create-operator lets them in again."""
    async with operating() as ctx:
        is_new = await accounts.disable(ctx, email)
    message = f"Operator {escape(email)} {'is disabled' if is_new else 'was disabled already'}."
    answer(as_json, {"email": email.strip().lower(), "change": "disabled" if is_new else "unchanged"}, message)


async def create_token(
    *,
    name: Annotated[str, Parameter(help="What it is for.")],
    role: RoleOption,
    days: Annotated[int | None, Parameter(help="Days that it is good for; the settings say how many else.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API token and show it, for the only time."""
    async with operating() as ctx:
        token = await api_tokens.create_token(ctx, name=name, role=role, days=days)
    note = f"Keep it: it is not shown again. Good until {token.expires_at:%Y-%m-%d}, as {token.role.value}."
    answer(as_json, {"token": token.token}, Text(token.token, style="bold"), Text(note, style="dim"))
