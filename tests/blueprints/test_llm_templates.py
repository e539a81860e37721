"""Learned templates: the list with its searches and orders, and deleting one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from support.admin import as_operator
from support.live import LiveServer
from support.llm_usage import USD, answered, asked, learn, set_settings
from support.refusals import Findings, invalid, refusal
from support.rows import row_counts, rows, told
from support.statements import counted_statements

from sql.tables import template_techs


async def named(live: LiveServer, **query: Any) -> list[str]:
    """The names on a page of templates, of which there are as many as are shown."""
    page = await answered(live, "templates", **query)
    names = [template["name"] for template in page["templates"]]
    assert page["total"] == len(names)
    return names


async def test_a_template_is_shown_with_everything_the_page_reads(sanic_client: LiveServer) -> None:
    used = sanic_client.ctx.now().replace(microsecond=0)
    made = used - timedelta(days=3)
    techs = [f"tech {number}" for number in range(12)]
    values = {"usage_count": 7, "cost_saved": 3_640_000_000, "created_at": made, "last_used": used}
    template_id = await learn(sanic_client, "List", *techs, **values)

    page = await answered(sanic_client, "templates")

    assert page == {
        "templates": [
            {
                "template_id": template_id,
                "name": "List",
                "task_pattern": "an endpoint that lists",
                "tech_stack": techs,
                "template_content": "def handler(): ...",
                "source_llm": "gpt-4o",
                "quality_score": 92.5,
                "usage_count": 7,
                "cost_saved": 3.64,
                "created_at": made.isoformat().replace("+00:00", "Z"),
                "last_used": used.isoformat().replace("+00:00", "Z"),
                "parameters": ["table", "columns"],
            }
        ],
        "total": 1,
        "total_is_capped": False,
        "page": 1,
        "page_size": 25,
        "total_pages": 1,
    }


async def test_a_template_without_a_stack_that_was_never_used_was_last_used_when_it_was_made(
    sanic_client: LiveServer,
) -> None:
    await learn(sanic_client, "List", parameters="[]")

    (template,) = (await answered(sanic_client, "templates"))["templates"]

    assert (template["tech_stack"], template["parameters"], template["usage_count"]) == ([], [], 0)
    assert template["last_used"] == template["created_at"]


async def test_a_search_finds_a_part_of_the_name_the_pattern_or_any_tech(sanic_client: LiveServer) -> None:
    await learn(sanic_client, "Login form", "Python", "Sanic")
    await learn(sanic_client, "Chart", "TypeScript", "React", task_pattern="100% of a_b")
    await learn(sanic_client, "Report", "Python", "React Native", "python")

    for query, names in (
        ({"search": "FORM"}, {"Login form"}),
        ({"search": " react "}, {"Chart", "Report"}),
        ({"search": "python"}, {"Login form", "Report"}),
        ({"search": "0% of a_"}, {"Chart"}),
        ({"search": "%"}, {"Chart"}),
        ({"search": "endpoint that"}, {"Login form", "Report"}),
        ({"search": "nothing like it"}, set()),
        ({"tech_stack": "React"}, {"Chart"}),
        ({"tech_stack": "react"}, set()),
        ({"tech_stack": "Python"}, {"Login form", "Report"}),
        ({"tech_stack": "all"}, {"Login form", "Chart", "Report"}),
        ({"tech_stack": ""}, {"Login form", "Chart", "Report"}),
        ({"tech_stack": "Python", "search": "native"}, {"Report"}),
    ):
        assert set(await named(sanic_client, **query)) == names, query


async def test_every_order_has_the_largest_value_first_and_among_equals_the_last_id(sanic_client: LiveServer) -> None:
    now = sanic_client.ctx.now()
    for name, uses, quality, ago in (("a", 5, 90.0, 2), ("b", 1, 99.5, 1), ("c", 3, 95.0, 3)):
        values = {"usage_count": uses, "quality_score": quality, "created_at": now - timedelta(days=ago)}
        await learn(sanic_client, name, **values)

    for words, order in (
        (("usage_count", "usage", "whatever", ""), "acb"),
        (("quality_score", "quality"), "bca"),
        (("created_at", "recent"), "bac"),
    ):
        for word in words:
            assert "".join(await named(sanic_client, sort_by=word)) == order, word
    assert "".join(await named(sanic_client)) == "acb"
    same = sorted([await learn(sanic_client, "same", usage_count=9) for _ in range(4)], reverse=True)
    page = await answered(sanic_client, "templates", page_size=4)
    assert [template["template_id"] for template in page["templates"]] == same


async def test_ten_thousand_are_a_page_and_pages_are_counted(sanic_client: LiveServer) -> None:
    for number in range(7):
        await learn(sanic_client, f"{number}", usage_count=number)

    everything = await answered(sanic_client, "templates", page=1, page_size=10_000)
    second = await answered(sanic_client, "templates", page=2, page_size=3)
    beyond = await answered(sanic_client, "templates", page=9, page_size=3)

    assert [template["name"] for template in everything["templates"]] == list("6543210")
    assert [template["name"] for template in second["templates"]] == list("321")
    assert (second["page"], second["page_size"], second["total"], second["total_pages"]) == (2, 3, 7, 3)
    assert (beyond["templates"], beyond["total"]) == ([], 7)


async def test_while_templates_are_not_learned_the_page_is_empty(sanic_client: LiveServer) -> None:
    await learn(sanic_client, "List", "Python")
    queries: list[dict[str, str]] = [{}, {"search": "List"}, {"tech_stack": "Python"}]
    assert [await named(sanic_client, **query) for query in queries] == [["List"]] * 3
    await set_settings(sanic_client, template_learning_enabled=False)

    pages = [await answered(sanic_client, "templates", **query) for query in queries]

    assert [(page["templates"], page["total"], page["total_pages"]) for page in pages] == [([], 0, 0)] * 3


async def test_the_number_of_statements_does_not_grow(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    for number in (0, 20):
        for name in range(number):
            await learn(sanic_client, f"{name}", "Python", "Sanic", "React")
        for query in ({"page_size": 10_000}, {"search": "an"}, {"tech_stack": "React"}):
            with counted_statements(sanic_client.runtime.db) as seen:
                await answered(sanic_client, "templates", headers, **query)
            # One of them finds the token.
            assert len(seen) == 2, seen


async def test_a_template_is_deleted_once_with_its_stack_and_the_trail_says_so(sanic_client: LiveServer) -> None:
    live, headers = sanic_client, await as_operator(sanic_client, "operator")
    kept = await learn(live, "Kept", "Python", cost_saved=USD)
    gone = await learn(live, "Gone", "Python", "Sanic", cost_saved=USD)

    answers = await asyncio.gather(*(live.http.delete(f"/api/llm/templates/{gone}", headers=headers) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    done = next(answer for answer in answers if answer.status_code == 200)
    assert done.json() == {"success": True, "message": "Template Gone is deleted."}
    refused = next(answer for answer in answers if answer.status_code == 404)
    assert refused.json()["errorCode"] == "template_not_found"
    assert [event.metadata for event in await told(live) if event.event_type == "template_deleted"] == [
        f'{{"template_id":"{gone}","name":"Gone"}}'
    ]
    left = select(template_techs.c.template_id, func.count()).group_by(template_techs.c.template_id)
    assert [tuple(row) for row in await rows(live, left)] == [(kept, 1)]
    assert (await answered(live, "stats"))["templateStats"] == {"total": 1, "uses": 0, "saved": 1.0}


async def test_what_is_no_template_is_not_found(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client)
    before = await row_counts(sanic_client)
    findings = Findings()

    for template_id in ("nothing", "x" * 300, "%00", "a%2Fb", "%ED%A0%80"):
        answer = await sanic_client.http.delete(f"/api/llm/templates/{template_id}", headers=headers)
        findings.add(template_id, answer.status_code, 404)

    assert findings.found == findings.expected
    assert await row_counts(sanic_client) == before


WRONG_QUERIES = [
    ("page", "0"),
    ("page_size", "0"),
    ("page_size", "10001"),
    ("search", "x" * 201),
    ("search", "\x00"),
    ("tech_stack", "x" * 101),
    ("sort_by", "\x00"),
]


async def test_what_cannot_be_asked_names_the_field(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client, "read_only")
    findings = Findings()

    for field, value in WRONG_QUERIES:
        answer = await asked(sanic_client, "templates", headers, **{field: value})
        findings.add(f"{field}={value}", refusal(answer), invalid("query", field))

    assert findings.found == findings.expected
