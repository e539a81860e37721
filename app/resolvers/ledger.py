"""Accounts of the ledger: what is left of each cap, and what a run has spent."""

from __future__ import annotations

from typing import Any

from ariadne import EnumType, ObjectType, QueryType

from app.cursors import Place, cursor_of, place_of
from app.resolvers.connections import Connection, Slice
from app.resolvers.context import Info
from app.services.ledger.standing import BEGINNING, LAST_DAY, Chosen, Standing, list_standings
from app.services.llm.settlement import BUDGETS
from app.services.runs.records import ListedRun
from sql.tables.ledger import LEVELS, PERIODS, UNITS

units = EnumType("LedgerUnit", {name.upper(): name for name in UNITS})
levels = EnumType("LedgerLevel", {name.upper(): name for name in LEVELS})
periods = EnumType("LedgerPeriod", {name.upper(): name for name in PERIODS})
query = QueryType()
run = ObjectType("Run")


@query.field("ledgerAccounts")
async def resolve_ledger_accounts(
    _: Any,
    info: Info,
    *,
    filter: dict[str, Any] | None,  # noqa: A002 - the argument's name
    first: int,
    after: str | None,
) -> Connection[Standing]:
    """A page of the accounts of the running month and day."""
    page, chosen = Slice.asked(first, after), Chosen(**(filter or {}))
    behind = BEGINNING if after is None else _place(after)
    rows = await list_standings(info.context.ctx, chosen, BUDGETS, after=behind, page_size=page.wanted)
    return page.connection(rows, _cursor)


def _place(after: str) -> Place:
    return place_of(after, minimum=BEGINNING[0], maximum=LAST_DAY + 1, argument="after")


def _cursor(of: Standing) -> str:
    return cursor_of(of.place)


@run.field("account")
async def resolve_account(of: ListedRun, info: Info) -> Standing | None:
    """What it has spent."""
    return await info.context.loaders.runs.accounts.load(of.id)
