"""The pages of a tenant's activation codes: who sees and makes them, that they are shown once, and revoking one."""

from __future__ import annotations

import asyncio
import re
from html import unescape

import pytest
from httpx2 import Response
from sqlalchemy import func, select
from support.builders import licensed
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.operators import browser, signed_in
from support.pages import actions_on, fields_of, read, submit, table_on
from support.refusals import Findings
from support.rows import row_counts, rows, told
from support.statements import counted_statements

from app.access.permissions import Role
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant
from app.settings import Settings
from sql.tables import activation_codes

GENERATE = "/admin/codes/generate"
REVOKE = "/admin/codes/revoke"
NO_CODES = ("0", "-1", "x", "", "987654321", "9" * 18, "9" * 40)
CODE = re.compile(r"\b(?:[A-Z2-9]{4}-){3}[A-Z2-9]{4}\b")


async def acme(live: LiveServer, name: str = "Acme", codes: int = 0, label: str | None = None) -> None:
    """The tenant ``acme`` with this many codes."""
    await ensure_tenant(live.ctx, name=name, slug="acme")
    for _ in range(codes):
        await generate_codes(live.ctx, "acme", label=label)


async def code_count(live: LiveServer) -> int:
    ((count,),) = await rows(live, select(func.count()).select_from(activation_codes))
    return count


def listed(page: Response) -> list[int]:
    """The ids of the codes on a page."""
    return [int(row[0]) for row in table_on(page)]


async def test_codes_are_made_with_what_was_typed_and_shown_in_that_answer_alone(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    async with signed_in(sanic_client, Role.OPERATOR) as person:
        page = await person.get("/admin/codes?tenant=acme")
        wish = {"count": "3", "ttl_days": "30", "label": " Spring ", "max_uses": "2"}
        answer = await submit(person, page, GENERATE, **wish)
        again = await person.get("/admin/codes?tenant=acme")

    codes = CODE.findall(answer.text)
    assert (answer.status_code, len(set(codes)), answer.headers["cache-control"]) == (201, 3, "no-store")
    assert "set-cookie" not in answer.headers
    assert "location" not in answer.headers
    assert 'href="/admin/codes?tenant=acme">I have copied them' in answer.text
    assert CODE.findall(again.text) == []
    assert [row[1:5] for row in table_on(again)] == [
        [code[-4:], "Spring", "active", "0/2"] for code in sorted(codes, key=codes.index, reverse=True)
    ]
    assert {row[5] == "never" for row in table_on(again)} == {False}
    assert [(event.event_type, event.actor_id) for event in await told(sanic_client)][-1] == ("code_generated", 1)


async def test_the_form_begins_with_five_codes_for_one_device_each_that_never_expire(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    async with signed_in(sanic_client) as person:
        page = await person.get("/admin/codes?tenant=acme")
        answer = await submit(person, page, GENERATE)
        fields = fields_of(await person.get("/admin/codes?tenant=acme"), GENERATE)
        least = {name: fields[name] for name in ("form_token", "form_key", "tenant_slug")}
        one = await person.http.post(GENERATE, data=least)

    assert [(row[3], row[4], row[5]) for row in table_on(answer)] == [("active", "0/1", "never")] * 5
    assert len(CODE.findall(one.text)) == 1


async def test_a_form_that_is_sent_again_makes_nothing_and_shows_what_it_made(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    async with signed_in(sanic_client) as person:
        page = await person.get("/admin/codes?tenant=acme")
        clicks = await asyncio.gather(*(submit(person, page, GENERATE) for _ in range(3)))
        reloaded = await submit(person, page, GENERATE)
        changed = await submit(person, page, GENERATE, count="7")
        fresh = await submit(person, changed, GENERATE)

        assert {tuple(CODE.findall(answer.text)) for answer in (*clicks, reloaded)} == {
            tuple(CODE.findall(clicks[0].text))
        }
        assert (changed.status_code, "This form was sent before" in changed.text) == (409, True)
        assert (fresh.status_code, len(CODE.findall(fresh.text))) == (201, 7)
        assert await code_count(sanic_client) == 5 + 7
        for wrong in ("", "x", "0" * 31):
            assert (await submit(person, page, GENERATE, form_key=wrong)).status_code == 403


async def test_a_form_that_failed_may_be_sent_again(sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await acme(sanic_client)
    async with signed_in(sanic_client) as person:
        page = await person.get("/admin/codes?tenant=acme")
        with monkeypatch.context() as broken:
            broken.setattr("app.services.licensing.codes.store_codes", lambda *_: 1 / 0)
            failed = await submit(person, page, GENERATE)
        answer = await submit(person, page, GENERATE)

    assert (failed.status_code, 'role="alert"' in failed.text, answer.status_code) == (500, True, 201)


async def test_what_is_wrong_stands_beside_its_field_with_what_was_typed(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    wrong = {"count": "101", "ttl_days": "<b>", "max_uses": "0", "label": "x" * 256}
    async with signed_in(sanic_client) as person:
        page = await submit(person, await person.get("/admin/codes?tenant=acme"), GENERATE, **wrong)
        mended = await submit(person, page, GENERATE, count="1", ttl_days="", max_uses="1", label="y")

    assert page.status_code == 422
    text, inputs = unescape(page.text), read(page).inputs
    for name, words in {
        "count": "Number of codes must be at most 100.",
        "ttl_days": "Days until they expire must be a whole number.",
        "max_uses": "Devices per code must be at least 1.",
        "label": "Label must have at most 255 characters.",
    }.items():
        assert f'<a href="#{name}">{words}</a>' in text
        assert f'<p class="wrong" id="{name}-error">{words}</p>' in text
        assert inputs[name]["aria-invalid"] == "true"
        assert inputs[name]["aria-describedby"] == f"{name}-note {name}-error"
        assert inputs[name]["value"] == wrong[name]
    assert page.text.count('role="alert"') == 1
    assert "<b>" not in page.text
    assert (mended.status_code, await code_count(sanic_client)) == (201, 1)


BOUNDS = [
    ({"count": "0"}, "must be at least 1"),
    ({"count": "1.5"}, "must be a whole number"),
    ({"count": "9" * 400}, "must be"),
    ({"ttl_days": "3651"}, "must be at most 3650"),
    ({"max_uses": "1000001"}, "must be at most 1000000"),
    ({"label": "a\x00b"}, "may not hold the character NUL"),
]


async def test_a_bound_is_kept(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    findings = Findings()
    async with signed_in(sanic_client) as person:
        for typed, words in BOUNDS:
            page = await submit(person, await person.get("/admin/codes?tenant=acme"), GENERATE, **typed)
            findings.add(typed, (page.status_code, words in page.text), (422, True))

    assert findings.found == findings.expected
    assert await code_count(sanic_client) == 0


async def test_a_tenant_that_is_not_there_is_said_beside_its_field(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    findings = Findings()
    async with signed_in(sanic_client) as person:
        before = await row_counts(sanic_client)
        form = await person.get("/admin/codes?tenant=acme")
        for slug in ("nobody", "No Such", "<script>", "a\x00b", "x" * 5000, "-"):
            for path in ("/admin/codes", "/admin/devices"):
                page = await person.get(path, params={"tenant": slug})
                said = f"There is no tenant with the slug {slug.lower()}." in unescape(page.text)
                shown = read(page).inputs.get("tenant", {})
                found = (page.status_code, said, shown.get("aria-invalid"), shown.get("value") == slug.lower())
                of_page = (actions_on(page), "<script" in page.text)
                findings.add(f"{path} of {slug}", (found, of_page), ((404, True, "true", True), ({path}, False)))
            answers = [await submit(person, form, GENERATE, tenant_slug=slug)]
            for path in (REVOKE, "/admin/devices/revoke"):
                answers += [
                    await person.get(path, params={"tenant": slug}),
                    await person.http.post(path, data={**fields_of(form, GENERATE), "tenant_slug": slug}),
                ]
            found = ([answer.status_code for answer in answers], answers[0].text.count('role="alert"'))
            findings.add(f"forms of {slug}", found, ([404] * 5, 1))

    assert findings.found == findings.expected
    after = await row_counts(sanic_client)
    written = ("activation_codes", "devices", "platform_events")
    assert [after[table] for table in written] == [before[table] for table in written]


async def test_an_empty_page_says_how_to_go_on(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    async with signed_in(sanic_client) as person, signed_in(sanic_client, Role.READ_ONLY) as reader:
        assert (
            "Type the slug of a tenant to see its activation codes and to make more."
            in (await person.get("/admin/codes")).text
        )
        assert "to see its activation codes." in (await reader.get("/admin/codes?tenant=%20")).text
        assert "Make the first with the form above." in (await person.get("/admin/codes?tenant=%20acme%20")).text
        assert "Acme has no codes yet. An operator" in (await reader.get("/admin/codes?tenant=acme")).text
        behind = await person.get("/admin/codes?tenant=acme&page=7")
        assert ("Go to the first page" in behind.text, "Previous" in behind.text) == (True, True)


async def test_a_list_is_paged_and_takes_the_same_statements_whatever_is_on_it(sanic_client: LiveServer) -> None:
    await acme(sanic_client)
    async with signed_in(sanic_client) as person:
        counts = []
        for made in (0, 50, 1, 60):
            if made:
                await generate_codes(sanic_client.ctx, "acme", count=made)
            with counted_statements(sanic_client.runtime.db) as statements:
                page = await person.get("/admin/codes?tenant=acme")
            counts.append((len(statements), "Next" in page.text))
        pages = [await person.get(f"/admin/codes?tenant=acme&page={page}") for page in ("1", "2", "3")]
        odd = [await person.get(f"/admin/codes?tenant=acme&page={page}") for page in ("0", "-1", "x", "", "9" * 30)]

    # The session, the tenant, and the list with its total.
    assert counts == [(3, False), (3, False), (3, True), (3, True)]
    assert [len(listed(page)) for page in pages] == [50, 50, 11]
    ids = [number for page in pages for number in listed(page)]
    assert ids == sorted(set(ids), reverse=True)
    assert [("Previous" in page.text, "Next" in page.text) for page in pages] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    assert {tuple(listed(page)) for page in odd} == {tuple(ids[:50])}
    assert "newest first: 111" in pages[0].text


async def test_states_and_moments_are_shown_as_they_are(settings: Settings, clock: MovableClock) -> None:
    async with live_server(settings.model_copy(update={"time_zone": "Pacific/Auckland"}), clock) as live:
        moments = [clock.now()]
        tenant = await licensed(live, ttl_days=1)
        moments.append(clock.now())
        async with signed_in(live) as person:
            before = await person.get(f"/admin/codes?tenant={tenant.slug}")
        clock.move(days=2)
        async with signed_in(live) as person:
            after = await person.get(f"/admin/codes?tenant={tenant.slug}")
        zone = live.runtime.zone

    (row,) = table_on(before)
    # The clock runs on: a minute may have turned while the code was made.
    assert row[6] in {moment.astimezone(zone).strftime("%Y-%m-%d %H:%M") for moment in moments}
    assert "Times are in Pacific/Auckland." in before.text
    assert [table_on(page)[0][3] for page in (before, after)] == ["active", "expired"]


async def test_revoking_asks_first_names_the_code_by_its_id_and_leads_back(sanic_client: LiveServer) -> None:
    await acme(sanic_client, codes=2, label="Spring")
    async with signed_in(sanic_client) as person:
        page = await person.get("/admin/codes?tenant=acme")
        newest = listed(page)[0]
        asked = await person.get(REVOKE, params=fields_of(page, REVOKE))
        states = [table_on(await person.get("/admin/codes?tenant=acme"))[0][3]]
        answer = await submit(person, asked, REVOKE)
        again = await submit(person, asked, REVOKE)
        after = await person.get("/admin/codes?tenant=acme")
        confirmed = await person.get(REVOKE, params=fields_of(page, REVOKE))

    assert fields_of(page, REVOKE) == {"tenant": "acme", "code_id": str(newest)}
    assert f"Revoke code {newest} of Acme" in asked.text
    assert "Spring" in asked.text
    for sent in (answer, again):
        assert (sent.status_code, sent.headers["location"]) == (303, "/admin/codes?tenant=acme")
    assert states + [row[3] for row in table_on(after)] == ["active", "revoked", "active"]
    assert [fields["code_id"] for action, fields in read(after).forms if action == REVOKE] == [str(newest - 1)]
    assert "is revoked already" in confirmed.text
    events = [event.event_type for event in await told(sanic_client) if event.event_type.startswith("code")]
    assert events == ["code_generated", "code_generated", "code_revoked"]


async def test_a_code_that_the_tenant_has_not_is_not_revoked(sanic_client: LiveServer) -> None:
    await acme(sanic_client, codes=1)
    other = await licensed(sanic_client)
    findings = Findings()
    async with signed_in(sanic_client) as person:
        page = await person.get("/admin/codes?tenant=acme")
        form = fields_of(page, REVOKE)
        asked = await person.get(REVOKE, params=form)
        answers = {
            "asked of another tenant": await person.get(REVOKE, params={**form, "tenant": other.slug}),
            "sent of another tenant": await submit(person, asked, REVOKE, tenant_slug=other.slug),
        }
        for code_id in NO_CODES:
            answers[f"asked of {code_id!r}"] = await person.get(REVOKE, params={"tenant": "acme", "code_id": code_id})
            answers[f"sent of {code_id!r}"] = await submit(person, asked, REVOKE, code_id=code_id)
    for case, answer in answers.items():
        found = (answer.status_code, "The tenant has no such activation code." in answer.text)
        findings.add(case, found, (404, True))

    assert findings.found == findings.expected
    assert [event.event_type for event in await told(sanic_client) if event.event_type == "code_revoked"] == []


async def test_what_somebody_has_typed_is_text_and_never_part_of_the_page(sanic_client: LiveServer) -> None:
    hostile = """<script>alert("1")</script> '" onfocus="x" {{ 7*7 }} </title></table>"""
    await acme(sanic_client, name=hostile, codes=1, label=hostile)
    async with signed_in(sanic_client) as person:
        listed_page = await person.get("/admin/codes?tenant=acme")
        asked = await person.get(REVOKE, params=fields_of(listed_page, REVOKE))
        wrong = await submit(person, listed_page, GENERATE, label=hostile, count=hostile)
        devices = await person.get("/admin/devices?tenant=acme")

    assert table_on(listed_page)[0][2] == hostile
    assert read(wrong).inputs["label"]["value"] == hostile
    assert read(wrong).inputs["count"]["value"] == hostile
    for page in (listed_page, asked, wrong, devices):
        assert hostile in unescape(page.text)
        assert hostile not in page.text
        assert not {"script", "style", "iframe"} & set(read(page).tags)
        assert "onfocus" not in {name for found in read(page).inputs.values() for name in found}
        assert page.headers["content-security-policy"].startswith("default-src 'self'")


async def test_a_code_is_in_no_address_no_cookie_and_no_log(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    async with live_server(settings.model_copy(update={"log_level": "debug", "access_log": True})) as live:
        await acme(live)
        async with signed_in(live) as person:
            answer = await submit(person, await person.get("/admin/codes?tenant=acme"), GENERATE)
            codes = CODE.findall(answer.text)
            await person.get("/admin/codes?tenant=acme")
            held = str(person.http.cookies) + str(answer.headers) + str(answer.url)

    logged = "".join(capfd.readouterr())
    assert GENERATE in logged
    assert len(codes) == 5
    links = re.findall(r'(?:href|action|src)="([^"]*)"', answer.text)
    assert [code for code in codes if code in held + logged + "".join(links)] == []
    assert [code for code in codes if code in "".join(read(answer).inputs)] == []


async def test_who_may_only_read_sees_no_form_and_changes_nothing(sanic_client: LiveServer) -> None:
    await acme(sanic_client, codes=1)
    async with signed_in(sanic_client) as owner, signed_in(sanic_client, Role.READ_ONLY) as reader:
        shown = await owner.get("/admin/codes?tenant=acme")
        page = await reader.get("/admin/codes?tenant=acme")
        token = fields_of(await reader.get("/auth/logout"), "/auth/logout")["form_token"]
        asked = await owner.get(REVOKE, params=fields_of(shown, REVOKE))
        answers = [
            await reader.http.post(GENERATE, data={**fields_of(shown, GENERATE), "form_token": token}),
            await reader.http.post(REVOKE, data={**fields_of(asked, REVOKE), "form_token": token}),
            await reader.get(REVOKE, params=fields_of(shown, REVOKE)),
        ]

    assert (page.status_code, actions_on(page), len(table_on(page)[0])) == (200, {"/admin/codes"}, 7)
    assert [answer.status_code for answer in answers] == [403] * 3
    assert {"codes:write" in answer.text for answer in answers} == {True}
    assert {'href="/admin"' in answer.text for answer in answers} == {True}
    assert await code_count(sanic_client) == 1


async def test_a_form_that_is_not_of_this_browser_is_refused(sanic_client: LiveServer) -> None:
    await acme(sanic_client, codes=1)
    async with signed_in(sanic_client) as person, signed_in(sanic_client) as other, browser(sanic_client) as stranger:
        page = await person.get("/admin/codes?tenant=acme")
        foreign = fields_of(await other.get("/admin/codes?tenant=acme"), GENERATE)
        form = fields_of(page, GENERATE)
        without = {name: value for name, value in form.items() if name != "form_token"}
        answers = [
            await person.http.post(GENERATE, data=foreign),
            await person.http.post(GENERATE, data=without),
            await person.http.post(GENERATE, data=form, headers={"origin": "https://evil.example"}),
            await person.http.post(GENERATE, data=form, headers={"origin": "null"}),
        ]
        unknown = await stranger.http.post(GENERATE, data=form)

        assert [answer.status_code for answer in answers] == [403] * 4
        assert (unknown.status_code, await code_count(sanic_client)) == (401, 1)
        assert (await person.http.post(GENERATE, data=form)).status_code == 201
