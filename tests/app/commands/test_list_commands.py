"""What there is, from the command line: plans, tenants and operators, as a table or one JSON object."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest
import structlog
from support.builders import activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer

from app.__main__ import main
from app.commands.pages import all_rows
from app.commands.session import operating
from app.context import Context
from app.services.directory.lookup import tenant_named
from app.services.figures.totals import Page
from app.services.licensing.code_list import ListedCode, list_codes
from app.services.licensing.codes import generate_codes
from app.services.licensing.device_list import ListedDevice, list_devices
from app.services.tenants.deletion import delete_tenant
from sql.tables import projects

Portal = Callable[..., str]


@pytest.fixture
def portal(
    state: object, empty_database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Portal]:
    """Runs a command that goes well, on an empty database, once on each kind; answers what it prints."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setenv("PORTAL_DATABASE_URL", empty_database)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["portal", *arguments])
        capsys.readouterr()
        exit_code = main()
        shown = capsys.readouterr()
        assert exit_code == 0, shown.err
        return shown.out

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_plans_are_listed_by_quota(portal: Portal) -> None:
    portal("seed-plan", "--name", "Tiny", "--price-id", "price_tiny", "--quota", "1", "--max-devices", "2")

    first, *others = json.loads(portal("list-plans", "--json"))["plans"]
    assert (first["name"], first["price_id"], first["quota"], first["max_devices"]) == ("Tiny", "price_tiny", 1, 2)
    assert [plan["quota"] for plan in others] == sorted(plan["quota"] for plan in others)
    assert portal("list-plans").splitlines()[1].split()[1:] == ["Tiny", "1", "2", "price_tiny"]


def test_a_subscription_gets_figures_of_its_own_and_its_plans_again(portal: Portal) -> None:
    portal("seed-plan", "--name", "Tiny", "--price-id", "price_tiny", "--quota", "10", "--max-devices", "2")
    portal("add-tenant", "--name", "Acme", "--slug", "acme", "--plan", "Tiny")
    link = ("link-sub", "--tenant", "acme", "--plan", "Tiny", "--json")

    own = json.loads(portal(*link, "--max-devices-override", "5", "--monthly-run-quota-override", "0"))
    listed = portal("list-tenants")
    kept = json.loads(portal(*link))
    back = json.loads(portal(*link, "--max-devices-override", "plan", "--monthly-run-quota-override", "plan"))

    figures = ("max_devices", "max_devices_override", "quota", "monthly_run_quota_override", "change")
    shown = [tuple(answer[name] for name in figures) for answer in (own, kept, back)]
    assert shown == [(5, 5, 0, 0, "updated"), (5, 5, 0, 0, "unchanged"), (2, None, 10, None, "updated")]
    assert "0/5 (plan: 2)" in listed
    assert "0 (plan: 10)" in listed


def test_tenants_are_listed_by_slug_page_by_page(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.catalogue.PAGE", 2)
    for slug in ("zeta", "acme", "beta"):
        portal("add-tenant", "--name", slug.title(), "--slug", slug)
    portal("link-sub", "--tenant", "acme", "--plan", "Starter")

    found = {tenant["slug"]: tenant for tenant in json.loads(portal("list-tenants", "--json"))["tenants"]}
    assert list(found) == ["acme", "beta", "demo", "zeta"]
    assert (found["acme"]["plan"], found["acme"]["state"], found["acme"]["seats_used"]) == ("Starter", "active", 0)
    assert (found["beta"]["plan"], found["beta"]["state"], found["beta"]["seats_used"]) == (None, None, None)
    assert portal("list-tenants").splitlines()[2].split()[1:] == ["beta", "Beta"]


def test_deletions_are_listed_with_their_progress(portal: Portal) -> None:
    assert portal("list-deletions") == "No tenant was ever deleted.\n"
    assert json.loads(portal("list-deletions", "--json")) == {"deletions": []}
    portal("add-tenant", "--name", "Acme", "--slug", "acme")
    asyncio.run(deleted("acme"))

    (deletion,) = json.loads(portal("list-deletions", "--json"))["deletions"]
    assert (deletion["slug"], deletion["status"], deletion["found"]) == ("acme", "waiting", None)
    assert portal("list-deletions").splitlines()[1].split()[1:5] == ["acme", "waiting", "0", "0"]
    assert [tenant["slug"] for tenant in json.loads(portal("list-tenants", "--json"))["tenants"]] == ["demo"]


async def deleted(slug: str) -> None:
    async with operating() as ctx:
        await delete_tenant(ctx, slug)


def test_operators_are_listed_with_the_ways_they_sign_in(portal: Portal) -> None:
    assert portal("list-operators").startswith("No operators yet: portal create-operator")
    portal("create-operator", "--email", "bob@example.com", "--role", "operator")
    portal("create-operator", "--email", "ann@example.com", "--role", "owner", "--name", "Ann")
    portal("disable-operator", "--email", "bob@example.com")

    ann, bob = json.loads(portal("list-operators", "--json"))["operators"]
    assert (ann["email"], ann["name"], ann["role"], ann["disabled_at"]) == ("ann@example.com", "Ann", "owner", None)
    assert (ann["has_password"], ann["is_bound"]) == (False, False)
    assert (bob["email"], bob["disabled_at"] is None) == ("bob@example.com", False)
    assert portal("list-operators").splitlines()[1].split()[1:] == ["ann@example.com", "owner", "active", "Ann"]


def test_projects_of_a_tenant_are_listed_newest_first(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.pages.PAGE_SIZE", 2)
    assert portal("list-projects", "--tenant", "demo").startswith("No projects yet")
    asyncio.run(projects_of("demo", ["one", "two", "three"]))

    found = json.loads(portal("list-projects", "--tenant", "demo", "--json"))["projects"]
    assert [project["project_id"] for project in found] == ["three", "two", "one"]
    assert (found[0]["name"], found[0]["client_name"], found[0]["execution_status"]) == ("THREE", None, "pending")
    assert (found[0]["is_active"], found[0]["activation_code_id"], found[0]["version"]) == (True, None, 1)
    shown = portal("list-projects", "--tenant", "demo").splitlines()
    assert [line.split()[0] for line in shown] == ["project", "three", "two", "one"]
    assert shown[1].split()[1:3] == ["pending", "yes"]
    assert shown[1].endswith("THREE")


def test_projects_of_nobody_are_not_listed(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    portal("list-plans")
    monkeypatch.setattr(sys, "argv", ["portal", "list-projects", "--tenant", "nobody"])

    assert main() == 2


async def projects_of(tenant_slug: str, names: list[str]) -> None:
    """Projects of a tenant, and one of nobody, each a second younger than the one before."""
    async with operating() as ctx:
        tenant = await tenant_named(ctx, tenant_slug)
        for age, (name, tenant_id) in enumerate([*((name, tenant.id) for name in names), ("internal", None)]):
            at = ctx.now() + timedelta(seconds=age)
            row = {"project_id": name, "name": name.upper(), "tenant_id": tenant_id, "created_by": "tests"}
            async with ctx.write() as conn:
                await conn.affected(projects.insert(), **row, created_at=at, updated_at=at)


async def test_a_list_is_read_newest_first_over_all_its_pages(
    sanic_client: LiveServer, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.commands.pages.PAGE_SIZE", 2)
    tenant = await licensed(sanic_client, max_uses=4)
    devices = [await activated(sanic_client, tenant, f"hardware-{number}") for number in range(4)]
    await activated(sanic_client)
    clock.move(minutes=5)
    # The oldest one is the last that was seen.
    seen = {"hw_fingerprint": devices[0].hw_fingerprint}
    await sanic_client.http.post("/licenses/heartbeat", headers=devices[0].headers, json=seen)

    listed = await all_rows(partial(device_page, sanic_client.ctx, tenant.slug))

    assert [device.id for device in listed] == sorted((device.device_id for device in devices), reverse=True)


async def test_a_row_that_moved_to_a_later_page_is_listed_once(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.commands.pages.PAGE_SIZE", 2)
    tenant = await licensed(sanic_client)
    await generate_codes(sanic_client.ctx, tenant.slug, count=2)

    async def read(number: int, size: int) -> Page[ListedCode]:
        page = await list_codes(sanic_client.ctx, tenant_slug=tenant.slug, page=number, page_size=size)
        if number == 1:
            await generate_codes(sanic_client.ctx, tenant.slug)
        return page

    assert [code.id for code in await all_rows(read)] == [3, 2, 1]


async def device_page(ctx: Context, tenant_slug: str, number: int, size: int) -> Page[ListedDevice]:
    return await list_devices(ctx, tenant_slug=tenant_slug, is_newest_first=True, page=number, page_size=size)


def test_an_empty_ledger_is_right(portal: Portal) -> None:
    shown = portal("verify-ledger").strip()
    assert shown == "0 accounts are the sums of their reservations, and these of their entries."
    assert json.loads(portal("verify-ledger", "--json")) == {
        "is_right": True,
        "compared": 0,
        "accounts": [],
        "reservations": [],
    }
