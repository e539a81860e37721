"""What the pages about models ask for: sent as they send it, and read as strictly as they read it."""

from __future__ import annotations

from support.admin import operator_cookie
from support.live import LiveServer
from support.llm_usage import USD, learn, log_call, spend
from support.shapes import moment, number, whole, words, wrong_in

PROVIDER = {"calls": whole, "cost": number, "total_cost": number, "model": words}
CALL = {
    **dict.fromkeys(("id", "agent_type", "provider"), words),
    "timestamp": moment,
    **dict.fromkeys(("input_tokens", "output_tokens", "cost", "duration_seconds"), number),
    **dict.fromkeys(("success", "cached"), lambda value: isinstance(value, bool)),
}
CALLS = {"logs": [CALL], "total": whole, "total_pages": whole}
TEMPLATE = {
    **dict.fromkeys(("template_id", "name", "task_pattern", "template_content", "source_llm"), words),
    "tech_stack": [words],
    "parameters": [words],
    **dict.fromkeys(("quality_score", "usage_count", "cost_saved"), number),
    **dict.fromkeys(("created_at", "last_used"), moment),
}
TEMPLATES = {"templates": [TEMPLATE], "total": whole, "total_pages": whole}
ALERT = {
    "id": words,
    "timestamp": moment,
    "level": lambda value: value in {"info", "warning", "critical"},
    **dict.fromkeys(("type", "message", "details"), words),
    "resolved": lambda value: isinstance(value, bool),
    "actions": lambda value: isinstance(value, list) and all(map(words, value)),
}
READ = {
    "overview of models": (
        "/api/llm/stats",
        {
            "totalCalls": whole,
            **dict.fromkeys(("monthlyBudget", "budgetUsed", "avgResponseTime", "successRate"), number),
            "providerBreakdown": dict.fromkeys(("gemini", "openai", "anthropic"), PROVIDER),
            "dailyCosts": [{"date": words, "cost": number}],
            "templateStats": {"uses": whole, "saved": number},
            "alerts": [{"id": words, "level": ALERT["level"], "message": words, "timestamp": moment}],
        },
    ),
    **{
        f"logs of {asked}": (f"/api/llm/logs?range={asked}&page=1&page_size={page_size}", CALLS)
        for asked, page_size in (("today", 25), ("7days", 50), ("30days", 100), ("all", 200))
    },
    "logs of an agent": ("/api/llm/logs?range=7days&page=1&page_size=25&agent=coder&provider=openai", CALLS),
    **{
        f"logs, {status}": (f"/api/llm/logs?range=all&page=1&page_size=25&status={status}", CALLS)
        for status in ("success", "error", "cached")
    },
    **{
        f"templates by {sort}": (f"/api/llm/templates?page=1&page_size={page_size}&sort_by={sort}", TEMPLATES)
        for sort, page_size in (("usage_count", 10), ("quality_score", 25), ("created_at", 100))
    },
    "templates of a search": (
        "/api/llm/templates?page=1&page_size=50&sort_by=usage_count&search=san&tech_stack=Python",
        TEMPLATES,
    ),
    "statistics of templates": ("/api/llm/templates?page=1&page_size=10000", TEMPLATES),
    "alerts": ("/api/llm/alerts", {"alerts": [ALERT]}),
}


async def populated(live: LiveServer) -> None:
    """Calls of every kind, of which one was expensive, and a template."""
    await spend(live.ctx, 850 * USD)
    await log_call(live, success=False, error_message="too long")
    await log_call(live, cached=True, cost=0)
    await learn(live, "List", "Python", "Sanic", usage_count=2)


async def test_the_pages_read_what_they_ask_for(sanic_client: LiveServer) -> None:
    await populated(sanic_client)
    cookie = await operator_cookie(sanic_client, origin=None)

    wrong = []
    for name, (path, shape) in READ.items():
        answer = await sanic_client.http.get(path, headers=cookie)
        assert answer.status_code == 200, (name, answer.text)
        wrong += [f"{name}{place}" for place in wrong_in(answer.json(), shape)]

    assert wrong == []


async def test_templates_are_deleted_and_alerts_dismissed_as_the_pages_do_it(sanic_client: LiveServer) -> None:
    await populated(sanic_client)
    cookie = await operator_cookie(sanic_client, origin="http://localhost:3002")
    http = sanic_client.http

    (template,) = (await http.get("/api/llm/templates", headers=cookie)).json()["templates"]
    path = f"/api/llm/templates/{template['template_id']}"
    deleted = await http.delete(path, headers=cookie)
    assert (deleted.status_code, deleted.json()["success"], words(deleted.json()["message"])) == (200, True, True)
    missing = await http.delete(path, headers=cookie)
    assert (missing.status_code, words(missing.json()["detail"])) == (404, True)

    open_alerts = (await http.get("/api/llm/alerts", headers=cookie)).json()["alerts"]
    assert {tuple(alert["actions"]) for alert in open_alerts} == {("dismiss",)}
    path = f"/api/llm/alerts/{open_alerts[0]['id']}"
    assert [(await http.post(path, headers=cookie, json={"action": "dismiss"})).status_code for _ in range(2)] == [
        200,
        200,
    ]
    left = (await http.get("/api/llm/alerts", headers=cookie)).json()["alerts"]
    assert [alert["id"] for alert in left if alert["resolved"]] == [open_alerts[0]["id"]]
