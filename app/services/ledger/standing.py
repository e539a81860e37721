"""What is left of caps: the accounts of the running month and day, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Final, NamedTuple

from app.context import Context
from app.cursors import Place
from app.database.connections import as_batch
from app.services.directory.lookup import tenant_id_for
from app.services.ledger.accounts import Level, Period, Unit, run_money_account
from app.services.ledger.reservations import DefaultBudgets
from sql.lists import account_list
from sql.lists.account_list import AccountFilter

# Before every account.
BEGINNING: Final[Place] = (date.min.toordinal(), 0)
LAST_DAY: Final = date.max.toordinal()

_account_page = cache(account_list.account_page)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which accounts are wanted; None means any."""

    unit: Unit | None = None
    level: Level | None = None
    period: Period | None = None
    tenant_slug: str | None = None
    project_id: str | None = None


class Standing(NamedTuple):
    """An account with its cap as it is set now, None where there is none; money is in 1e-9 USD."""

    id: int
    unit: Unit
    level: Level
    tenant_id: int | None
    tenant_slug: str | None
    project_id: str | None
    period: Period
    starts_on: date | None
    reserved: int
    settled: int
    cap: int | None

    @property
    def place(self) -> Place:
        """Where it stands in the list: its first day as a number, and its id."""
        return (0 if self.starts_on is None else self.starts_on.toordinal()), self.id

    @property
    def left(self) -> int | None:
        """What may still be reserved; 0 where a cap was lowered below what is used, None without a cap."""
        return None if self.cap is None else max(0, self.cap - self.settled - self.reserved)


async def list_standings(
    ctx: Context, chosen: Chosen, budgets: DefaultBudgets, *, after: Place = BEGINNING, page_size: int = 50
) -> list[Standing]:
    """The accounts of the running month and day, behind a place, in the order of their first days; one statement.

    An account is opened when something is first reserved on it. With a tenant's session there are only that tenant's.
    Raises TenantNotFoundError, TenantMismatchError.
    """
    month, tenant_id = ctx.month().first_day, await tenant_id_for(ctx, chosen.tenant_slug)
    # The index of all tenants' accounts is entered where both conditions begin; a tenant's own is short before it.
    day, number = max(after, (month.toordinal(), 0)) if tenant_id is None else after
    conditions = {name: value for name in AccountFilter._fields if (value := getattr(chosen, name)) is not None}
    values: dict[str, Any] = {
        **conditions,
        **budgets.as_parameters,
        "first_day": month,
        "today": ctx.today(),
        "after_day": date.fromordinal(day),
        "after_id": number,
        "page_size": page_size,
    }
    if tenant_id is not None:
        values["tenant_id"] = tenant_id
    statement = _account_page(AccountFilter(**dict.fromkeys(conditions, True)), tenant_id is not None)
    async with ctx.read() as conn:
        return await conn.many(statement, Standing, **values)


async def standings_of_runs(ctx: Context, run_ids: Sequence[int]) -> list[Standing | None]:
    """What each of these runs has spent, None where it has spent nothing; one statement.

    Whoever asks has found the runs where they may see them. A run has no cap of its own.
    """
    keys = {run_id: run_money_account(run_id).key for run_id in run_ids}
    batch = as_batch([{"key": key} for key in set(keys.values())])
    async with ctx.read() as conn:
        rows = await conn.rows(account_list.accounts_by_key, batch=batch)
    by_key = {row[0]: Standing._make(row[1:]) for row in rows}
    return [by_key.get(keys[run_id]) for run_id in run_ids]
