"""Calls that reserve and settle at the same time share transactions, and each is refused, paid and logged by itself."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter

from sqlalchemy import insert, select, update
from support.live import LiveServer
from support.llm_usage import USD, set_settings
from support.rows import change, rows
from support.statements import counted_statements

from app.errors import ProjectNotFoundError, ShuttingDownError
from app.services.ledger.accounts import Owner, account_ids, money_accounts
from app.services.ledger.reservations import DoesNotFitError, Hold, reserve
from app.services.ledger.settlements import Closing, End
from app.services.ledger.upkeep import verify
from app.services.llm.call_settings import call_settings
from app.services.llm.calls import owner_of_project
from app.services.llm.settlement import BUDGETS, Settlement, settle_call
from app.services.llm.usage_log import Caller, LoggedCall, details_of
from sql.tables import agent_settings, ledger_accounts, ledger_reservations, llm_calls, model_prices, projects

DETAILS = details_of(Caller(Owner(), "coder"), "openai", "gpt-4o")
TOGETHER = 20


async def hold(live: LiveServer, amount: int, owner: Owner | None = None, request_id: str = "") -> Hold:
    ids = await account_ids(live.ctx, money_accounts(owner or Owner(), live.ctx.today()))
    return Hold(request_id or uuid.uuid4().hex, "money", amount, ids, live.ctx.now(), details=DETAILS)


def settlement(
    live: LiveServer, reservation_id: int, used: int | None, state: End = "settled", text: str = ""
) -> Settlement:
    return Settlement(Closing(reservation_id, state, used), LoggedCall(text=text), DETAILS, live.ctx.now())


async def project(live: LiveServer, **columns: object) -> Owner:
    now, project_id = live.ctx.now(), f"project-{uuid.uuid4().hex[:8]}"
    row = {"project_id": project_id, "name": "Shop", "created_by": "tests", **columns}
    await change(live, insert(projects).values(**row, created_at=now, updated_at=now))
    return await owner_of_project(live.ctx, project_id)


async def balances(live: LiveServer) -> set[tuple[int, int]]:
    return {(row.reserved, row.settled) for row in await rows(live, ledger_accounts.select())}


async def test_those_who_wait_share_a_transaction(sanic_client: LiveServer) -> None:
    live = sanic_client
    holds = [await hold(live, 1000 + number) for number in range(TOGETHER)]
    with counted_statements(live.runtime.db) as reserving:
        ids = await asyncio.gather(*(reserve(live.ctx, each, BUDGETS) for each in holds))
    with counted_statements(live.runtime.db) as settling:
        used = await asyncio.gather(
            *(
                settle_call(live.ctx, settlement(live, reservation_id, number))
                for number, reservation_id in enumerate(ids)
            )
        )
    # A quarter of what waits in each batch: 5, 4, 3, 2, 2, and the last four alone.
    batches = 9
    assert len(reserving) == batches * (1 if live.runtime.db.chains_changes else 3)
    assert len(settling) == batches * (1 if live.runtime.db.chains_changes else 5)
    assert used == list(range(TOGETHER))
    stored = {row.id: row for row in await rows(live, ledger_reservations.select())}
    assert [stored[reservation_id].request_id for reservation_id in ids] == [each.request_id for each in holds]
    assert [stored[reservation_id].amount for reservation_id in ids] == [each.amount for each in holds]
    costs = {row.request_id: row.cost for row in await rows(live, llm_calls.select())}
    assert costs == {each.request_id: number for number, each in enumerate(holds)}
    assert await balances(live) == {(0, sum(range(TOGETHER)))}
    assert (await verify(live.ctx)).is_right


async def test_as_many_fit_as_fit_alone(sanic_client: LiveServer) -> None:
    live = sanic_client
    small = await project(live, monthly_budget_override=7 * USD + USD - 1)
    holds = [await hold(live, USD, small) for _ in range(TOGETHER)]
    others = [await hold(live, USD) for _ in range(TOGETHER)]
    ends = await asyncio.gather(
        *(reserve(live.ctx, each, BUDGETS) for pair in zip(holds, others, strict=True) for each in pair),
        return_exceptions=True,
    )
    # What does not fit one project's budget is refused, and keeps nobody else from anything.
    assert Counter(type(end) for end in ends[::2]) == {int: 7, DoesNotFitError: TOGETHER - 7}
    assert Counter(type(end) for end in ends[1::2]) == {int: TOGETHER}
    assert await balances(live) == {(7 * USD, 0), ((7 + TOGETHER) * USD, 0)}
    assert (await verify(live.ctx)).is_right


async def test_one_that_cannot_be_stored_fails_alone(sanic_client: LiveServer) -> None:
    live = sanic_client
    holds = [await hold(live, 10, request_id="twice" if number < 2 else "") for number in range(6)]
    ends = await asyncio.gather(*(reserve(live.ctx, each, BUDGETS) for each in holds), return_exceptions=True)
    assert [isinstance(end, int) for end in ends].count(False) == 1
    assert not isinstance(ends[1], int)
    assert await balances(live) == {(50, 0)}
    assert (await verify(live.ctx)).is_right


async def test_whoever_closes_first_counts_also_in_one_batch(sanic_client: LiveServer) -> None:
    live = sanic_client
    one, other = [await reserve(live.ctx, await hold(live, 100), BUDGETS) for _ in range(2)]
    closings = [
        settlement(live, one, 30),
        settlement(live, one, 0, "released"),
        settlement(live, other, None, "unconfirmed"),
        settlement(live, one, 50),
        settlement(live, other, 1),
    ]
    used = await asyncio.gather(*(settle_call(live.ctx, each) for each in closings))
    assert used == [30, None, 100, None, None]
    assert await asyncio.gather(*(settle_call(live.ctx, each) for each in closings)) == [None] * 5
    assert await balances(live) == {(0, 130)}
    assert sorted(row.cost for row in await rows(live, llm_calls.select())) == [30, 100]
    assert (await verify(live.ctx)).is_right


async def test_a_batch_that_reaches_a_level_is_settled_like_any_other(sanic_client: LiveServer) -> None:
    live = sanic_client
    await set_settings(live, monthly_budget=TOGETHER * USD, daily_budget=10**6 * USD)
    ids = [await reserve(live.ctx, await hold(live, USD), BUDGETS) for _ in range(TOGETHER)]
    used = await asyncio.gather(*(settle_call(live.ctx, settlement(live, each, USD, text="\ud800\0")) for each in ids))
    assert used == [USD] * TOGETHER
    assert await balances(live) == {(0, TOGETHER * USD)}
    assert {row.response_preview for row in await rows(live, llm_calls.select())} == {"?"}
    assert (await verify(live.ctx)).is_right


async def test_what_ends_while_the_worker_stops_is_settled_all_the_same(sanic_client: LiveServer) -> None:
    live = sanic_client
    one, other = [await reserve(live.ctx, await hold(live, 100), BUDGETS) for _ in range(2)]
    assert await settle_call(live.ctx, settlement(live, one, 30)) == 30
    await live.runtime.drain()
    assert await settle_call(live.ctx, settlement(live, other, 40)) == 40
    assert await balances(live) == {(0, 70)}
    try:
        await reserve(live.ctx, await hold(live, 1), BUDGETS)
    except ShuttingDownError:
        return
    raise AssertionError("a worker that stops begins no call")


async def test_settings_and_prices_of_those_who_wait_are_shared(sanic_client: LiveServer) -> None:
    live = sanic_client
    own = await project(live, model_override="mine", max_tokens_override=128)
    now = live.ctx.now()
    row = {"project_id": own.project_id, "agent_type": "qa", "model_override": "its own", "enabled": True, "version": 1}
    await change(live, insert(agent_settings).values(**row, created_at=now, updated_at=now))
    price = {"input_price": 1, "cached_input_price": None, "output_price": 2, "updated_at": now, "updated_by": "tests"}
    for model in ("mine", "its own", "another", "gpt-4o"):
        await change(live, insert(model_prices).values(provider="openai", model=model, **price))
    asked = [(None, "coder"), (own.project_id, "coder"), (own.project_id, "qa"), (None, "coder")]
    await call_settings(live.ctx, None, "coder")
    with counted_statements(live.runtime.db) as statements:
        found = await asyncio.gather(*(call_settings(live.ctx, *each) for each in asked * 5))
    # As with reservations: 20 who wait are nine batches.
    assert len(statements) == 9
    assert found[:4] == found[4:8]
    nobody, coder, qa, _ = found[:4]
    assert (nobody.settings.model.value, nobody.settings.max_tokens.value) == ("gemini-2.5-flash", 4096)
    assert (coder.settings.model.value, coder.settings.model.source) == ("mine", "project")
    assert (qa.settings.model.value, qa.settings.max_tokens.value) == ("its own", 128)
    assert [sorted(model for _, model in each.own_rates) for each in (nobody, coder, qa)] == [
        ["gpt-4o"],
        ["gpt-4o", "mine"],
        ["gpt-4o", "its own", "mine"],
    ]
    # What is changed holds for whoever asks after that.
    await change(live, update(projects).values(max_tokens_override=64))
    assert (await call_settings(live.ctx, own.project_id, "qa")).settings.max_tokens.value == 64


async def test_a_project_that_is_not_there_is_refused_and_others_are_answered(sanic_client: LiveServer) -> None:
    own = await project(sanic_client)
    ends = await asyncio.gather(
        *(call_settings(sanic_client.ctx, each, "coder") for each in ("nowhere", own.project_id, "nowhere", None)),
        return_exceptions=True,
    )
    assert [isinstance(end, ProjectNotFoundError) for end in ends] == [True, False, True, False]
    assert await rows(sanic_client, select(llm_calls.c.id)) == []
