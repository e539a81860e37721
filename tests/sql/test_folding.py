"""The folded key: one for all ways to write a name, made by us, in one order on every database."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from sqlalchemy import select, update
from support.admin import as_operator
from support.builders import activated, licensed
from support.live import LiveServer
from support.rows import change, labelled, rows

from app.services.licensing.codes import generate_codes
from app.services.projects import changes as project_changes
from app.services.tenants.changes import update_tenant
from app.services.tenants.onboarding import ensure_tenant
from sql.folding import MAX_KEY, fold, joined_key, key
from sql.tables import activation_codes, devices, projects, tenants

SAME = [
    ("MÜNCHEN", "münchen", "Mu\u0308nchen", "munchen", " München ", "M\u00ad\u00fcnchen"),
    ("STRASSE", "Straße", "strasse"),
    ("\uff21cme", "acme", "ACME"),
    ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("\u304c", "\u304b\u3099"),
    ("\ud55c", "\u1112\u1161\u11ab"),
    ("İstanbul", "istanbul"),
    ("two  words", "Two\u00a0Words"),
    ("\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
]
DIFFERENT = [("\u304b", "\u304c"), ("Oslo", "Øslo"), ("a b", "ab")]
# As a person expects them.
ORDER = ["apple", "Äpfel", "Banana", "élan", "Zoo"]


@pytest.mark.parametrize("same", SAME)
def test_ways_to_write_a_name_have_one_key(same: tuple[str, ...]) -> None:
    keys = {fold(text) for text in same}

    assert len(keys) == 1
    assert {fold(key) for key in keys} == keys


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_names_have_other_keys(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_a_key_is_bounded_and_never_empty() -> None:
    assert len(key("\ufdfa" * 255) or "") == MAX_KEY
    assert fold("\u0301") != ""
    assert key(None, "", "B") == "b"
    assert key(None) is None
    assert joined_key("Ä", None, "B") == "a\nb"


def test_folding_twice_is_folding_once() -> None:
    """For every character there is, alone and beside a letter."""
    characters = [chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) not in {"Cs", "Cn"}]
    assert [f"{text!r}" for text in characters if fold(fold(f"a{text}b")) != fold(f"a{text}b")] == []


async def names(live: LiveServer, **query: str) -> list[str]:
    """The names of the tenants that operators see."""
    answer = await live.http.get("/admin/api/tenants", headers=await as_operator(live), params=query)
    return [tenant["name"] for tenant in answer.json()["items"]]


async def test_tenants_are_found_and_ordered_alike_on_every_database(sanic_client: LiveServer) -> None:
    for place, name in enumerate(reversed(ORDER)):
        await ensure_tenant(sanic_client.ctx, name=name, slug=f"t{place}-x")
    for place, slug in enumerate(("a-c", "a1b", "ab2")):
        await ensure_tenant(sanic_client.ctx, name=f"Slug {place}", slug=slug)

    # "Äpfel" is folded to "apfel", before "apple".
    in_order = ["Äpfel", "apple", "Banana", "élan", *(f"Slug {place}" for place in range(3)), "Zoo"]
    assert await names(sanic_client, sort_field="name", sort_direction="asc") == in_order
    assert await names(sanic_client, sort_field="name", sort_direction="desc") == in_order[::-1]
    assert (await names(sanic_client, sort_field="slug", sort_direction="asc"))[:3] == ["Slug 0", "Slug 1", "Slug 2"]
    found = {text: await names(sanic_client, search=text) for text in ("äpfel", "A\u0308PF", "apfel", "ÉLA", "%", "z")}
    assert found == {
        "äpfel": ["Äpfel"],
        "A\u0308PF": ["Äpfel"],
        "apfel": ["Äpfel"],
        "ÉLA": ["élan"],
        "%": [],
        "z": ["Zoo"],
    }


async def test_every_list_is_searched_by_the_key(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client)
    tenant = await licensed(sanic_client)
    await update_tenant(sanic_client.ctx, tenant.slug, {"name": "Café Zürich"})
    await generate_codes(sanic_client.ctx, tenant.slug, label="Büro")
    device = await activated(sanic_client, tenant)
    await change(
        sanic_client, update(devices).where(devices.c.id == device.device_id).values(**labelled("Empfang Süd"))
    )

    async def total(path: str, search: str, **more: str) -> int:
        answer = await sanic_client.http.get(path, headers=headers, params={"search": search, **more})
        return int(answer.json()["total"])

    of_tenant = {"tenant_slug": tenant.slug}
    for more in ({}, of_tenant):
        assert await total("/admin/api/codes", "BU\u0308RO", **more) == 1
        assert await total("/admin/api/codes", "cafe zur", **more) == 2
        assert await total("/admin/api/devices", "SÜD", **more) == 1
        assert await total("/admin/api/devices", "ZÜRICH", **more) == 1
    assert await total("/admin/api/tenants", "CAFÉ") == 1


async def test_a_project_is_found_by_any_of_its_texts_before_and_after_a_change(sanic_client: LiveServer) -> None:
    headers = await as_operator(sanic_client)
    body = {"projectId": "p-one", "clientName": "Müller", "description": "Über alles"}
    made = await sanic_client.http.post("/api/llm/projects", headers=headers, json=body)
    assert made.status_code == 201, made.text

    async def found(search: str) -> int:
        answer = await sanic_client.http.get("/api/llm/projects", headers=headers, params={"search": search})
        return int(answer.json()["total"])

    assert [await found(text) for text in ("MÜLLER", "uber", "p-one", "grün")] == [1, 1, 1, 0]
    project_id = made.json()["projectId"]
    await project_changes.update_any_project(sanic_client.ctx, project_id, {"description": "Grün"})
    assert [await found(text) for text in ("MÜLLER", "uber", "p-one", "grün")] == [1, 0, 1, 1]


async def test_whatever_wrote_a_name_has_written_its_key(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, codes=2)
    await generate_codes(sanic_client.ctx, tenant.slug, label="Büro")
    await activated(sanic_client, tenant)
    await update_tenant(sanic_client.ctx, tenant.slug, {"name": "Ähre"})

    kept: dict[str, list[Any]] = {
        "tenants": await rows(sanic_client, select(tenants.c.name, tenants.c.folded_name)),
        "codes": await rows(sanic_client, select(activation_codes.c.label, activation_codes.c.folded_label)),
        "devices": await rows(sanic_client, select(devices.c.label, devices.c.folded_label)),
    }

    assert all(kept.values())
    assert {table: [row[1] for row in found] for table, found in kept.items()} == {
        table: [key(row[0]) for row in found] for table, found in kept.items()
    }
    assert await rows(sanic_client, select(projects.c.id)) == []
