"""What a stranger may put into a request and a tenant into its texts: none of it is believed, and none of it runs."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import licensed
from support.http_shapes import names_of_a_host
from support.live import LiveServer, live_server
from support.rows import change, row_counts
from support.sign_in import GENERATE, deliver_all, generate, mailed, reachable

from app.messages.mime import as_message
from app.messages.ports import Mail
from app.services.tenants import messages
from app.settings import Settings
from sql.tables import tenants

EVIL = "evil.example"
HOSTILE = """<script>alert(1)</script> "' onload=x <img src=x onerror=y> {{ 7*7 }} & </p>"""
NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
MAILS = {
    "password": lambda name: messages.password_mail("it@example.com", name, "123456", 10, NOW),
    "welcome": lambda name: messages.welcome_mail("it@example.com", name, name, NOW),
    "payment failed": lambda name: messages.payment_failed_mail("it@example.com", name, date(2026, 1, 1), name, NOW),
    "grace ended": lambda name: messages.grace_ended_mail("it@example.com", name, name, NOW),
    "trial ending": lambda name: messages.trial_ending_mail("it@example.com", name, date(2026, 1, 1), name, NOW),
    "change": lambda name: messages.contact_change_mail("it@example.com", name, f"the e-mail to {name}", name, 24, NOW),
    "changed": lambda name: messages.contact_changed_mail("it@example.com", name, f"the e-mail to {name}", NOW),
}


@pytest.mark.parametrize("kind", MAILS)
def test_no_mail_runs_what_a_tenant_is_called(kind: str) -> None:
    mail: Mail = MAILS[kind](HOSTILE)

    assert [raw for raw in ("<script", "<img", "onload=x <", "</p> ") if raw in mail.html] == []
    assert "&lt;script&gt;" in mail.html
    assert HOSTILE in mail.text
    assert "script" not in mail.subject


@pytest.mark.parametrize("kind", MAILS)
def test_no_name_becomes_a_header_of_a_mail(kind: str) -> None:
    # Stored before names of several lines were refused.
    message = as_message(MAILS[kind]("Acme\r\nBcc: all@evil.example\r\n\r\nHello"), "portal@example.com", "Portal")

    assert (message["Bcc"], message["To"], message.get_all("Subject")) == (None, "it@example.com", [message["Subject"]])
    head = message.as_bytes().partition(b"\r\n\r\n")[0]
    assert b"evil" not in head


def test_no_subject_becomes_a_header_of_a_mail() -> None:
    mail = Mail("it@example.com", "Budget of Acme\r\nBcc: all@evil.example", "text", "<p>text</p>", NOW)

    message = as_message(mail, "portal@example.com", "Portal")

    assert (message["Bcc"], message["Subject"]) == (None, "Budget of Acme Bcc: all@evil.example")


async def test_no_page_runs_what_a_tenant_is_called(sanic_client: LiveServer) -> None:
    live, tenant = sanic_client, await reachable(sanic_client)
    await change(live, tenants.update().where(tenants.c.id == tenant.id).values(name=HOSTILE, phone_number="+1"))
    headers = await as_operator(live)
    link = await live.http.post(f"/admin/api/tenants/{tenant.slug}/sign-in-link", headers=headers)
    own = await as_tenant(live, tenant.id)
    waits_too = await live.http.put("/api/tenant/profile", headers=own, json={"phoneNumber": HOSTILE[:50]})
    assert waits_too.status_code == 409
    await deliver_all(live)
    waits = (await mailed(live))[0].text.rpartition("/contact-change/")[2].split()[0]
    page = {"accept": "text/html", **(await operator_cookie(live))}
    paths = [
        "/sign-in/" + link.json()["sign_in_url"].rpartition("/")[2],
        f"/contact-change/{waits}",
        f"/admin/codes?tenant={tenant.slug}",
        f"/admin/devices?tenant={tenant.slug}",
        "/dev/mailbox",
    ]
    for path in paths:
        shown = await live.http.get(path, headers=page)
        assert shown.status_code == 200, path
        assert [raw for raw in ("<script>alert", "<img src=x") if raw in shown.text] == [], path
        assert "script-src" not in shown.headers["content-security-policy"]


async def test_no_link_leads_to_the_host_that_a_request_names(sanic_client: LiveServer) -> None:
    live, tenant = sanic_client, await reachable(sanic_client)
    operator, own = await as_operator(live), await as_tenant(live, tenant.id)
    hostile = names_of_a_host(EVIL)
    answers = [
        await live.http.post(f"/admin/api/tenants/{tenant.slug}/sign-in-link", headers=operator | hostile),
        await live.http.put("/api/tenant/profile", headers=own | hostile, json={"email": "new@example.com"}),
        await live.http.post(GENERATE, headers=hostile, json={"tenant_slug": tenant.slug}),
        await live.http.get("/admin", headers=hostile | {"accept": "text/html"}),
        await live.http.get("/", headers=hostile),
        await live.http.get("/openapi.json", headers=hostile),
        await live.http.get("/docs", headers=hostile),
        await live.http.get("/nothing", headers=hostile),
        await live.http.get("/admin/login", headers=hostile | {"accept": "text/html"}),
    ]

    assert [answer.status_code for answer in answers[:4]] == [201, 409, 200, 303]
    for answer in answers:
        assert EVIL not in answer.text + str(answer.headers.multi_items()), answer.request.url
    assert answers[0].json()["sign_in_url"].startswith(live.runtime.settings.public_url + "/sign-in/")
    await deliver_all(live)
    texts = [message.text for message in await mailed(live)]
    assert len(texts) == 2
    assert any(live.runtime.settings.public_url + "/contact-change/" in text for text in texts)
    assert EVIL not in "".join(texts)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "is_another"),
    [
        # Who comes without a proxy chooses nothing.
        (0, "{n}", False),
        (0, "{n}, 203.0.113.1", False),
        # One proxy appends where it was asked from: what stands before that is the client's own.
        (1, "203.0.113.{n}", True),
        (1, "198.51.100.{n}, 203.0.113.1", False),
        (1, "127.0.0.{n}, , 203.0.113.1", False),
        (2, "198.51.100.{n}, 203.0.113.1, 10.0.0.1", False),
        (2, "203.0.113.{n}, 10.0.0.1", True),
        # Past the first of two proxies: nobody is named, so all who come so are one.
        (2, "203.0.113.{n}", False),
    ],
)
async def test_nobody_chooses_the_address_that_they_are_counted_for(
    settings: Settings, proxies: int, forwarded: str, is_another: bool
) -> None:
    async with live_server(settings.model_copy(update={"proxies_count": proxies})) as live:
        slug = (await reachable(live)).slug
        statuses = []
        for number in range(1, 5):
            address = forwarded.format(n=number)
            sent = dict.fromkeys(("x-forwarded-for", "x-real-ip", "true-client-ip"), address)
            sent["forwarded"] = f"for={address}"
            statuses.append((await live.http.post(GENERATE, headers=sent, json={"tenant_slug": slug})).status_code)

    assert statuses == [200, 200, 200, 200 if is_another else 429]


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://localhost:3000.evil.example", "file://"])
async def test_a_cookie_changes_nothing_in_graphql_from_elsewhere(sanic_client: LiveServer, origin: str) -> None:
    live, tenant = sanic_client, await licensed(sanic_client)
    cookie = await operator_cookie(live, origin=origin)
    before = await row_counts(live)
    document = """mutation($slug: String!) { deleteTenant(slug: $slug) { deletedSlug problems { code } } }"""
    body = {"query": document, "variables": {"slug": tenant.slug}}

    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = await live.http.post("/graphql", headers={**cookie, "content-type": kind}, json=body)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.status_code >= 400, answer.text
    assert await row_counts(live) == before
    assert (await generate(live, tenant.slug)).status_code == 200
