"""Values that no field may have, in every field of every operation: each is refused, and the refusal names the field.

Generated from the stated models, so a field that is added is tried too.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from httpx2 import Response
from support.contract import CALLERS, OPERATIONS, accepts, address, body_of, headers_of, label, sample
from support.live import LiveServer, live_server

from app.contract.api_document import Operation
from app.settings import Settings

# Stands in a body where the bad value is put, which JSON has no other way to write.
PLACE = "\x02here\x03"
TOO_LONG = "x" * 300_000
TEN_MEGABYTES = 10_000_000

# As JSON: how each is written, by the kind of field in which it is wrong.
BAD_TEXTS = {"NUL": '"a\\u0000b"', "lone surrogate": '"\\ud800"', "too long": f'"{TOO_LONG}"', "a number": "1"}
BAD_NUMBERS = {
    "2**63": str(2**63),
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-1e400": "-1e400",
    "a text": '"1"',
    "a list": "[1]",
}
BAD_SWITCHES = {"a text": '"true"', "a number": "1", "NaN": "NaN"}
BAD = {"string": BAD_TEXTS, "integer": BAD_NUMBERS, "number": BAD_NUMBERS, "boolean": BAD_SWITCHES}
# As parts of an address, encoded.
BAD_IN_ADDRESS = {
    "NUL": "a%00b",
    "lone surrogate": "%ED%A0%80",
    "broken UTF-8": "%FF",
    "too long": "x" * 5_000,
    "2**63": str(2**63),
    "-2**63-1": str(-(2**63) - 1),
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-1e400": "-1e400",
}
# Where anything of its kind is fine, because nobody reads it.
IGNORED = {
    ("POST /admin/api/tenants", "planId", "2**63"),
    ("POST /admin/api/tenants", "usageQuota", "2**63"),
    ("PUT /admin/api/tenants/{tenant_slug}", "usageQuota", "2**63"),
}


class Leaf(NamedTuple):
    """A field of a body: the way to it, its kinds, and a sound body with the place for another value."""

    path: tuple[str | int, ...]
    kinds: frozenset[str]
    body: Any


@pytest.fixture
async def unlimited(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server that counts no requests."""
    async with live_server(settings.model_copy(update={"rate_limits": "off"})) as live:
        yield live


def resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of which a value must fit one."""
    if "$ref" in schema:
        return resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return [one for part in schema[several] for one in resolved(part, definitions)]
    return [schema]


def leaves(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Leaf]:
    """Every field of every object that the schema allows, also within lists."""
    alternatives = resolved(schema, definitions)
    kinds = frozenset(str(one.get("type")) for one in alternatives) - {"null"}
    for one in alternatives:
        if one.get("type") == "object":
            sound = sample(one, definitions)
            for name, field in one.get("properties", {}).items():
                for leaf in leaves(field, definitions):
                    yield Leaf((name, *leaf.path), leaf.kinds, {**sound, name: leaf.body})
        elif one.get("type") == "array":
            for leaf in leaves(one.get("items", {}), definitions):
                yield Leaf((0, *leaf.path), leaf.kinds, [leaf.body])
    if kinds & BAD.keys():
        yield Leaf((), kinds, PLACE)


def fields_of(operation: Operation) -> list[Leaf]:
    """Every field of an operation's JSON body."""
    if operation.json_body is None:
        return []
    schema = operation.json_body.model_json_schema()
    return list(leaves(schema, schema.get("$defs", {})))


def bad_values(leaf: Leaf) -> dict[str, str]:
    """What a field may not be: where it may be of several kinds, what is wrong for each of them."""
    by_kind = [BAD[kind] for kind in leaf.kinds & BAD.keys()]
    shared = set.intersection(*(set(values.items()) for values in by_kind))
    return dict(sorted(shared)) if len(by_kind) > 1 else by_kind[0]


async def asked_as(live: LiveServer, operation: Operation) -> dict[str, str]:
    """The headers of somebody whom the operation lets in."""
    if operation.caller.is_anyone:
        return {}
    return await headers_of(live, next(caller for caller in ("owner token", *CALLERS) if accepts(operation, caller)))


def complaint(answer: Response, place: str, name: str | int) -> str | None:
    """What is wrong with a refusal: it must be one, and name the field, or say that what was sent is no JSON."""
    if not 400 <= answer.status_code < 500:
        return f"{answer.status_code} {answer.text[:200]}"
    problem = answer.json()
    if problem["errorCode"] in {"malformed_body", "payload_too_large"}:
        return None
    if answer.status_code == 422 and any([place, name] == detail["loc"][:2] for detail in problem["errors"]):
        return None
    return f"does not name {name}: {answer.status_code} {answer.text[:300]}"


def test_there_is_something_to_try() -> None:
    tried = [leaf for operation in OPERATIONS for leaf in fields_of(operation)]

    assert len(tried) > 40
    assert {kind for leaf in tried for kind in leaf.kinds} >= {"string", "integer", "number", "boolean"}
    assert any(len(leaf.path) > 1 for leaf in tried)


async def test_a_bad_value_in_a_body_is_refused_and_its_field_named(unlimited: LiveServer) -> None:
    complaints = []
    for operation in OPERATIONS:
        headers = {**(await asked_as(unlimited, operation)), "content-type": "application/json"}
        for leaf in fields_of(operation):
            text = json.dumps(leaf.body)
            for kind, bad in bad_values(leaf).items():
                if (label(operation), leaf.path[-1], kind) in IGNORED:
                    continue
                content = text.replace(json.dumps(PLACE), bad).encode()
                answer = await unlimited.http.request(
                    operation.method, address(operation), headers=headers, content=content
                )
                if (wrong := complaint(answer, "body", leaf.path[0])) is not None:
                    complaints.append(f"{label(operation)} {leaf.path} {kind}: {wrong}")

    assert complaints == []


async def test_a_bad_value_in_a_query_is_no_fault_of_ours_and_a_refusal_names_it(unlimited: LiveServer) -> None:
    """Some lists take any word, as their front end sends what it has: those answer."""
    complaints = []
    for operation in OPERATIONS:
        if operation.query is None:
            continue
        headers = await asked_as(unlimited, operation)
        schema = operation.query.model_json_schema()
        sound = {name: quote(str(value)) for name, value in sample(schema, schema.get("$defs", {})).items()}
        for name in schema["properties"]:
            for kind, bad in BAD_IN_ADDRESS.items():
                query = "&".join(f"{one}={value}" for one, value in {**sound, name: bad}.items())
                answer = await unlimited.http.request(
                    operation.method, f"{address(operation)}?{query}", headers=headers
                )
                if answer.status_code >= 500:
                    complaints.append(f"{label(operation)} {name} {kind}: {answer.status_code}")
                elif answer.status_code == 422 and (wrong := complaint(answer, "query", name)) is not None:
                    complaints.append(f"{label(operation)} {name} {kind}: {wrong}")

    assert complaints == []


async def test_a_bad_part_of_a_path_is_no_fault_of_ours(unlimited: LiveServer) -> None:
    complaints = []
    for operation in OPERATIONS:
        headers, body = await asked_as(unlimited, operation), body_of(operation)
        sent = {} if body is None else {"json": body}
        for name in operation.path_parameters:
            for kind, bad in BAD_IN_ADDRESS.items():
                path = address(replace(operation, path=operation.path.replace(f"{{{name}}}", bad)))
                answer = await unlimited.http.request(operation.method, path, headers=headers, **sent)
                if not 400 <= answer.status_code < 500:
                    complaints.append(f"{label(operation)} {name} {kind}: {answer.status_code} {answer.text[:200]}")

    assert complaints == []


async def test_a_text_of_ten_megabytes_is_refused_with_the_limit(unlimited: LiveServer) -> None:
    tried = 0
    for operation in OPERATIONS:
        texts = [leaf for leaf in fields_of(operation) if "string" in leaf.kinds]
        if not texts:
            continue
        headers = {**(await asked_as(unlimited, operation)), "content-type": "application/json"}
        content = json.dumps(texts[0].body).replace(json.dumps(PLACE), f'"{"x" * TEN_MEGABYTES}"').encode()
        answer = await unlimited.http.request(operation.method, address(operation), headers=headers, content=content)
        assert (answer.status_code, answer.json()["errorCode"]) == (413, "payload_too_large"), label(operation)
        assert answer.json()["limit"] == operation.body_limit(unlimited.runtime.settings.request_max_bytes)
        tried += 1
    assert tried > 5
