"""The pages of a tenant's devices: who sees them, in which order, and how one is revoked."""

from __future__ import annotations

from httpx2 import Response
from sqlalchemy import select, update
from support.builders import Licensed, activate, activated, licensed
from support.clocks import MovableClock
from support.live import LiveServer
from support.operators import browser, signed_in
from support.pages import actions_on, fields_of, read, submit, table_on
from support.refusals import Findings
from support.rows import change, rows, told
from support.statements import counted_statements

from app.access.permissions import Role
from app.services.licensing.devices import release_device
from sql.tables import devices

REVOKE = "/admin/devices/revoke"


async def seen(live: LiveServer, clock: MovableClock, tenant: Licensed, count: int) -> list[int]:
    """Devices of the tenant by when they were last seen: the one that was activated first last, and so on."""
    ids = []
    for number in range(count):
        clock.move(seconds=1)
        ids.append((await activated(live, tenant, f"hardware-{number}")).device_id)
    clock.move(seconds=1)
    await change(live, update(devices).where(devices.c.id == ids[0]).values(last_seen=clock.now(), label="Laptop <i>"))
    return [ids[0], *reversed(ids[1:])]


def listed(page: Response) -> list[int]:
    """The ids of the devices on a page."""
    return [int(row[0]) for row in table_on(page)]


async def test_a_tenants_devices_are_shown_last_seen_first(sanic_client: LiveServer, clock: MovableClock) -> None:
    tenant = await licensed(sanic_client, max_uses=9)
    await activated(sanic_client)
    ids = await seen(sanic_client, clock, tenant, 3)
    await change(sanic_client, update(devices).where(devices.c.id == ids[0]).values(clone_count=2))
    await release_device(sanic_client.ctx, tenant.slug, ids[1])
    async with signed_in(sanic_client) as person:
        page = await person.get(f"/admin/devices?tenant={tenant.slug}")

    ((last_seen,),) = await rows(sanic_client, select(devices.c.last_seen).where(devices.c.id == ids[0]))
    moment = last_seen.astimezone(sanic_client.runtime.zone).strftime("%Y-%m-%d %H:%M")
    assert listed(page) == ids
    assert table_on(page)[0] == [str(ids[0]), "Laptop <i>", moment, "no", "yes", "2", f"Revoke device {ids[0]}"]
    assert table_on(page)[1][3:6] == ["no", "no", "0"]
    assert "<i>" not in page.text


async def test_revoking_asks_first_and_the_device_is_out_from_then_on(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    path = f"/admin/devices?tenant={device.tenant.slug}"
    async with signed_in(sanic_client, Role.OPERATOR) as person:
        page = await person.get(path)
        asked = await person.get(REVOKE, params=fields_of(page, REVOKE))
        assert (await sanic_client.http.get("/licenses/policy", headers=device.headers)).status_code == 200
        answers = [await submit(person, asked, REVOKE) for _ in range(2)]
        after = await person.get(path)
        confirmed = await person.get(REVOKE, params=fields_of(page, REVOKE))

    assert f"Revoke device {device.device_id} of" in asked.text
    assert [(answer.status_code, answer.headers["location"]) for answer in answers] == [(303, path)] * 2
    assert (table_on(after)[0][3], REVOKE in actions_on(after)) == ("yes", False)
    assert "is revoked already" in confirmed.text
    assert (await sanic_client.http.get("/licenses/policy", headers=device.headers)).status_code == 401
    assert [event.event_type for event in await told(sanic_client)][-1] == "device_revoked"


async def test_a_device_that_the_tenant_has_not_is_not_revoked(sanic_client: LiveServer) -> None:
    mine, other = await activated(sanic_client), await activated(sanic_client)
    findings = Findings()
    async with signed_in(sanic_client) as person:
        page = await person.get(f"/admin/devices?tenant={mine.tenant.slug}")
        form = fields_of(page, REVOKE)
        asked = await person.get(REVOKE, params=form)
        for device_id in ("0", "-1", "x", "", "987654321", "9" * 18, "9" * 40, str(other.device_id)):
            for case, answer in (
                (f"asked of {device_id!r}", await person.get(REVOKE, params={**form, "device_id": device_id})),
                (f"sent of {device_id!r}", await submit(person, asked, REVOKE, device_id=device_id)),
            ):
                found = (answer.status_code, "The tenant has no device" in answer.text)
                findings.add(case, found, (404, True))

    assert findings.found == findings.expected
    for device in (mine, other):
        assert (await sanic_client.http.get("/licenses/policy", headers=device.headers)).status_code == 200


async def test_an_empty_page_says_how_to_go_on(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client)
    async with signed_in(sanic_client) as person:
        assert "Type the slug of a tenant to see its devices." in (await person.get("/admin/devices")).text
        page = await person.get(f"/admin/devices?tenant={tenant.slug}")
        assert f'<a href="/admin/codes?tenant={tenant.slug}">' in page.text
        behind = await person.get(f"/admin/devices?tenant={tenant.slug}&page=2")
        assert "Go to the first page" in behind.text


async def test_a_list_is_paged_and_takes_the_same_statements_whatever_is_on_it(sanic_client: LiveServer) -> None:
    tenant = await licensed(sanic_client, max_uses=60)
    path = f"/admin/devices?tenant={tenant.slug}"
    async with signed_in(sanic_client) as person:
        counts = []
        for first, last in ((0, 0), (0, 1), (1, 51)):
            for number in range(first, last):
                assert (await activate(sanic_client, tenant, f"hardware-{number}")).status_code == 200
            with counted_statements(sanic_client.runtime.db) as statements:
                page = await person.get(path)
            counts.append(len(statements))
        second = await person.get(f"{path}&page=2")

    assert counts == [3, 3, 3]
    assert (len(listed(page)), len(listed(second)), len({*listed(page), *listed(second)})) == (50, 1, 51)
    assert f'rel="next" href="{path}&amp;page=2"' in page.text
    assert f'rel="prev" href="{path}&amp;page=1"' in second.text


async def test_who_may_only_read_sees_no_button_and_changes_nothing(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    path = f"/admin/devices?tenant={device.tenant.slug}"
    async with signed_in(sanic_client) as owner, signed_in(sanic_client, Role.READ_ONLY) as reader:
        form = fields_of(await owner.get(path), REVOKE)
        page = await reader.get(path)
        token = fields_of(await reader.get("/auth/logout"), "/auth/logout")["form_token"]
        sent = {"form_token": token, "tenant_slug": form["tenant"], "device_id": form["device_id"]}
        answers = [await reader.get(REVOKE, params=form), await reader.http.post(REVOKE, data=sent)]

    assert (actions_on(page), len(table_on(page)[0])) == ({"/admin/devices"}, 6)
    assert [(answer.status_code, "devices:write" in answer.text) for answer in answers] == [(403, True)] * 2
    assert (await sanic_client.http.get("/licenses/policy", headers=device.headers)).status_code == 200


async def test_a_form_that_is_not_of_this_browser_is_refused(sanic_client: LiveServer) -> None:
    device = await activated(sanic_client)
    async with signed_in(sanic_client) as person, browser(sanic_client) as stranger:
        form = fields_of(await person.get(f"/admin/devices?tenant={device.tenant.slug}"), REVOKE)
        asked = await person.get(REVOKE, params=form)
        sent = fields_of(asked, REVOKE)
        answers = [
            await person.http.post(REVOKE, data={**sent, "form_token": "0" * 64}),
            await person.http.post(REVOKE, data=sent, headers={"origin": "https://evil.example"}),
            await stranger.http.post(REVOKE, data=sent),
        ]

    assert [answer.status_code for answer in answers] == [403, 403, 401]
    assert (await sanic_client.http.get("/licenses/policy", headers=device.headers)).status_code == 200


async def test_the_menu_leads_to_the_pages_and_says_where_one_is(sanic_client: LiveServer) -> None:
    async with signed_in(sanic_client) as person, browser(sanic_client) as stranger:
        email = (await person.get("/auth/me")).json()["email"]
        home, page = await person.get("/admin"), await person.get("/admin/devices")
        unsigned = await stranger.get("/admin/login")

    for shown in (home, page):
        assert ['href="/admin/codes"' in shown.text, 'href="/admin/devices"' in shown.text] == [True, True]
        assert (email in shown.text, 'href="/auth/logout"' in shown.text) == (True, True)
        assert read(shown).tags.count("h1") == 1
    assert '<a href="/admin/devices" aria-current="page">Devices</a>' in page.text
    assert "aria-current" not in home.text
    assert "/admin/devices" not in unsigned.text
