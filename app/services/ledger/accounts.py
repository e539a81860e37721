"""Accounts: which of them a call moves, and opening those that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

from app.context import Context
from app.database.connections import as_batch
from app.runtime import Runtime
from sql.statements import ledger as statements

Unit = Literal["runs", "money"]
Level = Literal["installation", "tenant", "project", "run"]
Period = Literal["month", "day", "none"]


class Account(NamedTuple):
    """One account, named by what it counts; ``starts_on`` is the first day of its period."""

    key: str
    unit: Unit
    level: Level
    tenant_id: int | None
    project_id: str | None
    run_id: int | None
    period: Period
    starts_on: date | None


class Owner(NamedTuple):
    """For whom money is spent; ``project_number`` is the id of the project's row, which no other project gets."""

    tenant_id: int | None = None
    project_id: str | None = None
    project_number: int | None = None
    run_id: int | None = None


class AccountId(NamedTuple):
    """An account's key and its id."""

    key: str
    id: int


def money_accounts(owner: Owner, today: date) -> list[Account]:
    """The accounts that a model call for this owner moves, the installation's first.

    ``today`` is the day in the installation's time zone: it decides the month and the day.
    """
    month = today.replace(day=1)
    accounts = [_account("installation", "", "month", month), _account("installation", "", "day", today)]
    if owner.tenant_id is not None:
        accounts.append(_account("tenant", owner.tenant_id, "month", month)._replace(tenant_id=owner.tenant_id))
    if owner.project_number is not None:
        project = _account("project", owner.project_number, "month", month)
        accounts.append(project._replace(tenant_id=owner.tenant_id, project_id=owner.project_id))
        if owner.run_id is not None:
            run = run_money_account(owner.run_id)
            accounts.append(run._replace(tenant_id=owner.tenant_id, project_id=owner.project_id))
    return accounts


def run_account(tenant_id: int, month: date) -> Account:
    """The account that holds a tenant's reserved runs of a month; the used ones are usage's own sums."""
    return Account(f"runs:tenant:{tenant_id}:{month}", "runs", "tenant", tenant_id, None, None, "month", month)


def run_money_account(run_id: int) -> Account:
    """The account of what calls for a run have cost, without the owners of the run."""
    return _account("run", run_id, "none", None)._replace(run_id=run_id)


def _account(level: Level, owner: object, period: Period, starts_on: date | None) -> Account:
    key = f"money:{level}:{owner}:{period}:{starts_on or ''}"
    return Account(key, "money", level, None, None, None, period, starts_on)


# The ids that a process has read: an account keeps its id, and is never removed.
_known: WeakKeyDictionary[Runtime, dict[str, int]] = WeakKeyDictionary()
MAX_KNOWN = 10_000


async def account_ids(ctx: Context, accounts: Sequence[Account]) -> list[int]:
    """The ids of the accounts in their order; those that are missing are opened first, in a transaction of its own."""
    known = _known.setdefault(ctx.runtime, {})
    if not all(account.key in known for account in accounts):
        if len(known) > MAX_KNOWN:
            known.clear()
        known |= await _read_or_opened(ctx, accounts)
    return [known[account.key] for account in accounts]


async def _read_or_opened(ctx: Context, accounts: Sequence[Account]) -> dict[str, int]:
    keys = as_batch([{"key": account.key} for account in accounts])
    async with ctx.read() as reader:
        ids = dict(await reader.many(statements.account_ids, AccountId, batch=keys))
    if len(ids) < len(accounts):
        missing = [account._asdict() for account in accounts if account.key not in ids]
        async with ctx.write_autocommit() as conn:
            await conn.affected(statements.open_accounts, batch=as_batch(missing))
            ids = dict(await conn.many(statements.account_ids, AccountId, batch=keys))
    return ids
