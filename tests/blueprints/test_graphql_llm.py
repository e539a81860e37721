"""Models, the ledger and the audit trail in GraphQL: exact amounts, pages, and who may ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select
from support.admin import as_operator, as_tenant
from support.builders import Licensed, licensed
from support.clocks import MovableClock, StandingClock
from support.connections import PAGE, paged
from support.graphql import data, refusal, stored_project, stored_run
from support.live import LiveServer
from support.llm_usage import USD, answered, call_row, log_calls, set_settings, spend
from support.rows import rows, told
from support.statements import counted_statements

from app.context import Actor
from app.events import Event, EventType, record
from app.services.ledger.accounts import Owner, account_ids, run_account
from sql.tables import ledger_accounts, llm_alerts, runs, usage_events


@pytest.fixture
def clock() -> StandingClock:
    """In the middle of a month and of a day."""
    clock = StandingClock()
    middle = clock.now().replace(year=clock.now().year + 1, month=6, day=15, hour=12)
    clock.move(seconds=(middle - clock.now()).total_seconds())
    return clock


def list_of(field: str, node: str = "id", arguments: str = "", given: str = "") -> str:
    """The document that asks for a page of a list."""
    return f"""query($first: Int! = 50, $after: String{arguments}) {{ {field}(first: $first, after: $after{given}) {{
      nodes {{ {node} }} edges {{ cursor node {{ {node} }} }} {PAGE} }} }}"""


CALLS = list_of("llmCalls", "id", ", $filter: LlmCallFilterInput", ", filter: $filter")
ACCOUNTS = list_of(
    "ledgerAccounts",
    "unit level period startsOn tenantSlug projectId cap settled reserved left",
    ", $filter: LedgerAccountFilterInput",
    ", filter: $filter",
)
ALERTS = list_of("llmAlerts", "id level type message dismissedAt", ", $gone: Boolean! = false", ", isDismissed: $gone")
EVENTS = list_of(
    "auditEvents",
    "id eventType severity title actorType actorName tenantId projectId metadata createdAt",
    ", $filter: AuditEventFilterInput, $order: AuditOrder! = NEWEST",
    ", filter: $filter, order: $order",
)


async def test_calls_are_paged_filtered_and_exact(sanic_client: LiveServer, tenant: Licensed) -> None:
    operator = await as_operator(sanic_client, "read_only")
    project_id = await stored_project(sanic_client, tenant)
    now = sanic_client.ctx.now()
    # Two of each moment, so that the id decides.
    made = [call_row(sanic_client, now - timedelta(minutes=place // 2)) for place in range(5)]
    made.append(call_row(sanic_client, now - timedelta(days=3), agent_type="qa", provider="gemini", success=False))
    made.append(call_row(sanic_client, now - timedelta(days=9), project_id=project_id, cost=9_007_199_254_740_993))
    await log_calls(sanic_client, *made)

    async def ids(first: int = 50, **chosen: Any) -> list[str]:
        pages = await paged(sanic_client, operator, "llmCalls", CALLS, first=first, filter=chosen or None)
        return [node["id"] for page in pages for node in page]

    everything = (await answered(sanic_client, "logs", range="all"))["logs"]
    in_order = [call["id"] for call in everything]
    for size in (1, 2, 3, 6):
        assert await ids(size) == in_order[:6]
    assert await ids(3, period="ALL") == in_order
    assert await ids(period="ONE_DAY") == in_order[:5]
    assert await ids(agentType="qa") == await ids(provider="gemini") == await ids(status="ERROR") == in_order[5:6]
    assert await ids(period="ALL", projectId=project_id) == in_order[6:]
    assert await ids(status="CACHED") == []
    document = """query($filter: LlmCallFilterInput) { llmCalls(filter: $filter) { totalCount totalCountIsCapped
      nodes { agentType provider model inputTokens outputTokens cost durationMs success cached projectId
        project { id } run { id } } } }"""
    found = (await data(sanic_client, operator, document, filter={"period": "ALL", "projectId": project_id}))[
        "llmCalls"
    ]
    assert found == {
        "totalCount": 1,
        "totalCountIsCapped": False,
        "nodes": [
            {
                "agentType": "coder",
                "provider": "openai",
                "model": "gpt-4o",
                "inputTokens": 100,
                "outputTokens": 20,
                "cost": 9_007_199_254_740_993,
                "durationMs": 1000,
                "success": True,
                "cached": False,
                "projectId": project_id,
                "project": {"id": project_id},
                "run": None,
            }
        ],
    }


async def test_calls_ask_for_projects_and_runs_together(sanic_client: LiveServer, tenant: Licensed) -> None:
    operator = await as_operator(sanic_client)
    document = "{ llmCalls { nodes { project { id } run { id project { id } } } } }"
    counts = []
    for name in ("One", "Two", "Three"):
        project_id = await stored_project(sanic_client, tenant, name)
        await stored_run(sanic_client, project_id, [])
        run_id = max(row.id for row in await rows(sanic_client, select(runs)))
        await log_calls(sanic_client, call_row(sanic_client, project_id=project_id, run_id=run_id))
        with counted_statements(sanic_client.runtime.db) as seen:
            found = (await data(sanic_client, operator, document))["llmCalls"]["nodes"]
        counts.append(len(seen))

    assert [call["run"]["project"]["id"] for call in found] == ["three", "two", "one"]
    # The API token, the calls, their projects, their runs.
    assert counts == [4, 4, 4]


async def test_what_calls_come_to_is_exact(sanic_client: LiveServer, clock: MovableClock) -> None:
    await set_settings(sanic_client, monthly_budget=1000 * USD)
    await log_calls(
        sanic_client,
        call_row(sanic_client, cost=1),
        call_row(sanic_client, cost=2 * USD, model="gpt-4o-mini"),
        call_row(sanic_client, cost=USD, provider="anthropic", model="claude", success=False),
    )
    document = """{ llmStats { totalCalls totalCost monthlyBudget avgResponseTime successRate
      providers { provider calls totalCost model models { model calls totalCost } }
      dailyCosts { date cost } templateStats { total uses saved } } }"""

    found = (await data(sanic_client, await as_operator(sanic_client, "read_only"), document))["llmStats"]

    days = found.pop("dailyCosts")
    assert (len(days), days[-1]) == (30, {"date": f"{clock.now():%Y}-06-15", "cost": 3 * USD + 1})
    providers = {each["provider"]: each for each in found.pop("providers")}
    assert list(providers) == ["gemini", "openai", "anthropic"]
    assert providers["openai"] == {
        "provider": "openai",
        "calls": 2,
        "totalCost": 2 * USD + 1,
        "model": "gpt-4o",
        "models": [
            {"model": "gpt-4o", "calls": 1, "totalCost": 1},
            {"model": "gpt-4o-mini", "calls": 1, "totalCost": 2 * USD},
        ],
    }
    assert found == {
        "totalCalls": 3,
        "totalCost": 3 * USD + 1,
        "monthlyBudget": 1000 * USD,
        "avgResponseTime": 1.0,
        "successRate": pytest.approx(200 / 3),
        "templateStats": {"total": 0, "uses": 0, "saved": 0},
    }


async def test_what_caps_have_left(
    sanic_client: LiveServer, tenant: Licensed, mine: dict[str, str], clock: MovableClock
) -> None:
    ctx = sanic_client.ctx
    await set_settings(sanic_client, monthly_budget=100 * USD, daily_budget=10 * USD)
    other = await licensed(sanic_client)
    await spend(ctx, 3 * USD, Owner(tenant.tenant_id, "hat-shop", 7, 3))
    await spend(ctx, USD, Owner(other.tenant_id))
    month = ctx.month().first_day
    (runs_id,) = await account_ids(ctx, [run_account(tenant.tenant_id, month)])
    moved = {"tenant_id": tenant.tenant_id, "kind": "run", "at": ctx.now(), "received_at": ctx.now()}
    days = (month - timedelta(days=1), month, ctx.today(), month + timedelta(days=30))
    async with ctx.write() as conn:
        made = [{**moved, "event_id": str(day), "quantity": 2, "day": day} for day in days]
        await conn.insert_all(insert(usage_events), made)
        await conn.affected(ledger_accounts.update().where(ledger_accounts.c.id == runs_id).values(reserved=1))

    async def accounts(who: dict[str, str], first: int = 50, **chosen: Any) -> list[Any]:
        pages = await paged(sanic_client, who, "ledgerAccounts", ACCOUNTS, first=first, filter=chosen or None)
        return [node for page in pages for node in page]

    own, everything = await accounts(mine), await accounts(await as_operator(sanic_client, "read_only"))
    june = f"{month:%Y}-06"
    names = ("unit", "level", "period", "startsOn", "tenantSlug", "projectId", "cap", "settled", "reserved", "left")
    of_tenant = dict(
        zip(names, ("MONEY", "TENANT", "MONTH", f"{june}-01", tenant.slug, None, None, 3 * USD, 0, None), strict=True)
    )
    of_runs = dict(zip(names, ("RUNS", "TENANT", "MONTH", f"{june}-01", tenant.slug, None, 50, 4, 1, 45), strict=True))
    # By their first days, and in the order of their keys, in which a call opens them.
    assert own == [of_tenant | {"level": "PROJECT", "projectId": "hat-shop"}, of_tenant, of_runs]
    of_all = {"level": "INSTALLATION", "tenantSlug": None, "settled": 4 * USD}
    of_day = {"period": "DAY", "startsOn": f"{june}-15", "cap": 10 * USD, "left": 6 * USD}
    assert everything == [
        of_tenant | of_all | {"cap": 100 * USD, "left": 96 * USD},
        *own[:2],
        of_tenant | {"tenantSlug": other.slug, "settled": USD},
        of_runs,
        of_tenant | of_all | of_day,
    ]
    operator = await as_operator(sanic_client)
    for size in (1, 2, 4):
        assert await accounts(operator, size) == everything
    assert await accounts(operator, tenantSlug=tenant.slug) == own
    assert await accounts(mine, tenantSlug=tenant.slug, unit="RUNS") == [of_runs]
    assert await accounts(operator, period="DAY") == everything[-1:]
    assert await accounts(operator, level="PROJECT", projectId="hat-shop") == own[:1]
    refused = await refusal(sanic_client, mine, ACCOUNTS, filter={"tenantSlug": other.slug})
    assert refused["extensions"]["code"] == "tenant_mismatch"
    # In the next month nothing is opened yet.
    clock.move(hours=24 * 30)
    assert await accounts(await as_tenant(sanic_client, tenant.tenant_id)) == []


async def test_alerts_are_paged_and_dismissed(sanic_client: LiveServer, clock: MovableClock) -> None:
    await set_settings(sanic_client, monthly_budget=1000 * USD, daily_budget=10**6 * USD)
    for cost in (500, 300, 150):
        await spend(sanic_client.ctx, cost * USD)
        clock.move(hours=1)
    operator = await as_operator(sanic_client)
    stored = [str(row.id) for row in await rows(sanic_client, llm_alerts.select().order_by(llm_alerts.c.id.desc()))]

    async def ids(first: int = 50, *, gone: bool = False) -> list[str]:
        pages = await paged(sanic_client, operator, "llmAlerts", ALERTS, first=first, gone=gone)
        return [node["id"] for page in pages for node in page]

    dismiss = """mutation($input: DismissLlmAlertInput!) { dismissLlmAlert(input: $input) {
      alert { id level dismissedAt } problems { code status field } } }"""
    for size in (1, 2, 5):
        assert await ids(size) == stored
    assert len(stored) == 5
    reader = await as_operator(sanic_client, "read_only")
    refused = await refusal(sanic_client, reader, dismiss, input={"alertId": stored[1]})
    assert (refused["extensions"]["code"], refused["extensions"]["permission"]) == (
        "permission_missing",
        "llm_alerts:write",
    )

    made = (await data(sanic_client, operator, dismiss, input={"alertId": stored[1]}))["dismissLlmAlert"]

    assert (made["alert"]["id"], made["alert"]["level"], made["problems"]) == (stored[1], "WARNING", [])
    assert made["alert"]["dismissedAt"] == clock.now().isoformat().replace("+00:00", "Z")
    assert (await told(sanic_client))[-1].event_type == "alert_dismissed"
    events = len(await told(sanic_client))
    again = (await data(sanic_client, operator, dismiss, input={"alertId": stored[1]}))["dismissLlmAlert"]
    assert (again, len(await told(sanic_client))) == (made, events)
    assert (await ids(2), await ids(gone=True)) == ([stored[0], *stored[2:]], [stored[1]])
    gone = (await data(sanic_client, operator, dismiss, input={"alertId": "999999"}))["dismissLlmAlert"]
    assert gone == {"alert": None, "problems": [{"code": "alert_not_found", "status": 404, "field": None}]}


async def test_the_trail_is_paged_from_both_ends(sanic_client: LiveServer, tenant: Licensed) -> None:
    ctx = sanic_client.ctx._replace(actor=Actor("operator", "ada"))
    async with sanic_client.ctx.write() as conn:
        events = (Event(EventType.PLAN_UPDATED, f"Plan {n}", metadata={"n": n}) for n in range(4))
        await record(conn, ctx, *events, Event(EventType.CODE_ACTIVATED, "Code", tenant_id=tenant.tenant_id))
    reader = await as_operator(sanic_client, "read_only")
    stored = [str(event.id) for event in await told(sanic_client)]

    async def listed(first: int = 50, **asked: Any) -> list[Any]:
        pages = await paged(sanic_client, reader, "auditEvents", EVENTS, first=first, **asked)
        return [node for page in pages for node in page]

    for size in (1, 3, 50):
        assert [event["id"] for event in await listed(size, order="OLDEST")] == stored
        assert [event["id"] for event in await listed(size)] == stored[::-1]
    by_ada = await listed(2, filter={"actor": "ada"})
    assert [event["title"] for event in by_ada] == ["Code", "Plan 3", "Plan 2", "Plan 1", "Plan 0"]
    assert by_ada[1]["metadata"] == '{"n":3}'
    assert (by_ada[0]["severity"], by_ada[0]["actorType"], by_ada[0]["tenantId"]) == (
        "MINOR",
        "operator",
        str(tenant.tenant_id),
    )
    assert await listed(filter={"actor": "ada", "severity": "MINOR"}) == by_ada[:1]
    assert await listed(filter={"actor": "ada", "eventType": "plan_updated"}) == by_ada[1:]
    assert await listed(filter={"actor": "ada", "tenantSlug": tenant.slug}) == by_ada[:1]
    assert await listed(filter={"actor": "ada", "tenantId": str(tenant.tenant_id)}) == by_ada[:1]
    assert await listed(filter={"actor": "ada", "since": by_ada[0]["createdAt"]}) == by_ada
    assert await listed(filter={"actor": "ada", "until": by_ada[0]["createdAt"]}) == []
    for variables, code, place in (
        ({"filter": {"tenantSlug": "nobody"}}, "tenant_not_found", None),
        ({"filter": {"tenantId": "x"}}, "validation_error", ["tenantId"]),
        ({"after": "x"}, "validation_error", ["after"]),
    ):
        error = (await refusal(sanic_client, reader, EVENTS, **variables))["extensions"]
        assert (error["code"], error["fields"][0]["loc"] if place else None) == (code, place)


@pytest.mark.parametrize("field", ["llmCalls { nodes { id } }", "llmStats { totalCalls }", "llmAlerts { nodes { id } }",
                                   "auditEvents { nodes { id } }"])  # fmt: skip
async def test_a_tenant_is_refused_what_is_the_operators(
    sanic_client: LiveServer, mine: dict[str, str], field: str
) -> None:
    """With the code that a tenant's session gets where only operators may ask."""
    with counted_statements(sanic_client.runtime.db) as seen:
        error = await refusal(sanic_client, mine, f"{{ {field} }}")

    rest = await sanic_client.http.get("/api/llm/stats", headers=mine)
    assert error["extensions"]["code"] == rest.json()["errorCode"]
    assert len(seen) == 1
