"""The document about GraphQL: what it says is asked is answered as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from support.admin import as_operator
from support.graphql import PATH
from support.live import LiveServer
from support.llm_usage import USD, spend

from app.access.callers import Caller
from app.access.permissions import Permission
from app.resolvers.access import rules
from app.resolvers.schema import schema

DOCUMENT = Path(__file__).parents[2] / "docs" / "graphql.md"
BLOCKS = re.findall(r"```json (graphql|answer)( by an operator)?\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


async def test_what_the_document_asks_is_answered_as_it_says(
    sanic_client: LiveServer, mine: dict[str, str], going_on: tuple[str, list[int]]
) -> None:
    assert [kind for kind, _, _ in BLOCKS] == ["graphql", "answer"] * 9
    operator = await as_operator(sanic_client)
    await spend(sanic_client.ctx, USD // 4)

    for (_, by_operator, asked), (_, _, said) in zip(BLOCKS[::2], BLOCKS[1::2], strict=True):
        headers = operator if by_operator else mine
        answer = (await sanic_client.http.post(PATH, headers=headers, json=json.loads(asked))).json()
        for error in answer.get("errors", ()):
            assert error["extensions"].pop("requestId")
        assert answer == json.loads(said)


def test_the_document_says_who_may_ask_for_every_field_that_has_a_rule() -> None:
    text = DOCUMENT.read_text()
    said = {}
    for name, tenants, permission in re.findall(r"^\| `([\w.]+)` \| (yes|no) \| (.+) \|$", text, re.MULTILINE):
        said[name] = Caller(
            tenant=tenants == "yes", permission=None if permission == "none" else Permission(permission.strip("`"))
        )

    stated = {re.sub("^(Query|Mutation|Subscription)\\.", "", place): rule for place, rule in rules(schema()).items()}
    assert said == stated


def test_every_limit_has_its_default_in_the_document(sanic_client: LiveServer) -> None:
    text = DOCUMENT.read_text()

    for name in (
        "graphql_max_depth",
        "graphql_max_tokens",
        "graphql_max_aliases",
        "graphql_max_cost",
        "graphql_cost_per_minute",
        "graphql_max_connections_per_caller",
        "graphql_max_connections",
        "graphql_max_operations",
    ):
        value = getattr(sanic_client.runtime.settings, name)
        assert f"| {value:,} | `{name}` |" in text
