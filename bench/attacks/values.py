"""Values and headers that are believed or run: numbers that are none, formulas, hosts, addresses, markup in mail."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from email import message_from_bytes

from support.http_shapes import names_of_a_host

from bench.attacks.target import Finding, Ground, Target, count_of, faults_of, target, together

EVIL = "evil.example"
METADATA = ("NaN", "Infinity", "-Infinity", '{"a": NaN}', "[1, Infinity]")
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", " =1", "\u00a0=1")
MARKUP = "<script>alert(1)</script> \"' <img src=x onerror=y> {{ 7*7 }}"
GENERATE = "/api/tenant/auth/otp/generate"


async def hostile_values(ground: Ground) -> list[Finding]:
    """All of them, of a server without a proxy."""
    async with target(ground) as server:
        return [
            *await usage(server),
            await formulas(server),
            await hosts(server),
            await addresses(server),
            await markup(server),
        ]


async def usage(server: Target) -> list[Finding]:
    """Events whose metadata JSON has no values for, and whose moment is a number in quotes."""
    customer = await server.customer()
    device = (await server.activate(customer, "machine")).json()
    headers = {"authorization": f"Bearer {device['access_token']}", "content-type": "application/json"}
    now = int(datetime.now(UTC).timestamp())

    async def stored(events: list[str]) -> tuple[int, int]:
        answers = [
            await server.http.post(f"/usage/{customer.slug}/events", headers=headers, content=f'{{"events":[{event}]}}')
            for event in events
        ]
        taken = [answer for answer in answers if answer.status_code == 200 and answer.json().get("accepted") != 0]
        return len(taken), faults_of(answers)

    event = '{"id": "%s", "kind": "run", "quantity": 1, %s}'
    metadata = [event % (f"m{number}", f'"metadata": {{"x": {text}}}') for number, text in enumerate(METADATA)]
    texts = (f"{now}", f"{now}.0", f"{now}000", f" {now}", f"{now}e0")
    moments = [event % (f"a{number}", f'"at": "{text}"') for number, text in enumerate(texts)]
    return [
        Finding("usage with NaN or Infinity", len(metadata), *await stored(metadata)),
        Finding("usage at a number in quotes", len(moments), *await stored(moments)),
    ]


async def formulas(server: Target) -> Finding:
    """Cells of the exported events that a spreadsheet would compute."""
    for number, text in enumerate(FORMULAS):
        plan = {"name": f"{text}|plan", "stripePriceId": f"price_f{number}", "monthlyRunQuota": 1}
        await server.http.post("/admin/api/plans", headers=await server.operator(), json=plan)
        await server.http.post(
            "/admin/api/tokens", headers=await server.operator(), json={"name": f"{text}|token", "role": "read_only"}
        )
    told = await server.http.get("/admin/api/events?format=csv", headers=await server.operator())
    rows = list(csv.reader(io.StringIO(told.text.removeprefix("\ufeff"))))
    starts = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    cells = [cell for row in rows[1:] for cell in row]
    run = [cell for cell in cells if cell.strip().startswith(starts)]
    return Finding("cells of the CSV that are formulas", len(cells), len(run), faults_of([told]), str(run[:2])[:80])


async def hosts(server: Target) -> Finding:
    """Answers and mails with a link to the host that a request names."""
    customer = await server.customer()
    hostile = names_of_a_host(EVIL)
    page = {"accept": "text/html"}
    answers = [await server.http.post(GENERATE, headers=hostile, json={"tenant_slug": customer.slug})]
    answers += [
        await server.http.get(path, headers=hostile | page)
        for path in ("/", "/admin", "/admin/login", "/docs", "/openapi.json", "/nothing")
    ]
    said = [answer.text + str(answer.headers.multi_items()) for answer in answers]
    said.append(json.dumps(await server.mail(lambda each: each["to"] == customer.email)))
    return Finding("hosts of a request in links", len(said), sum(EVIL in text for text in said), faults_of(answers))


async def addresses(server: Target) -> Finding:
    """One-time passwords asked for from one address, each in the name of another."""
    customer = await server.customer()
    answers = []
    for number in range(1, 21):
        claimed = f"203.0.113.{number}"
        headers = dict.fromkeys(("x-forwarded-for", "x-real-ip", "true-client-ip", "cf-connecting-ip"), claimed)
        headers["forwarded"] = f"for={claimed}"
        answers.append(await server.http.post(GENERATE, headers=headers, json={"tenant_slug": customer.slug}))
    allowed = 3
    through = max(0, count_of(answers) - allowed)
    return Finding(
        "addresses that a request claims", len(answers), through, faults_of(answers), f"{allowed} are allowed"
    )


async def markup(server: Target) -> Finding:
    """Mails and pages that would run what a tenant is called."""
    customer, headers = await server.customer(), await server.operator()
    path = f"/admin/api/tenants/{customer.slug}"
    renamed = await server.http.put(path, headers=headers, json={"name": MARKUP})
    await server.http.post(GENERATE, json={"tenant_slug": customer.slug})
    await server.mail(lambda each: MARKUP in each["text"])
    mails = [message_from_bytes(path.read_bytes()) for path in (server.ground.folder / "mailbox").glob("*.eml")]
    parts = [part for mail in mails for part in mail.walk() if part.get_content_type() == "text/html"]
    said = [bytes(part.get_payload(decode=True)).decode() for part in parts]  # type: ignore[arg-type]
    cookie = await server.cookie()
    pages = [f"/admin/codes?tenant={customer.slug}", f"/admin/devices?tenant={customer.slug}", "/dev/mailbox"]
    answers = [await server.http.get(page, headers={"cookie": cookie, "accept": "text/html"}) for page in pages]
    said += [answer.text for answer in answers]
    run = sum(any(raw in text for raw in ("<script>alert", "<img src=x")) for text in said)
    return Finding("mails and pages that run a name", len(said), run, faults_of([renamed, *answers]))


async def silent_redis(ground: Ground) -> list[Finding]:
    """Devices, strangers and sign-in while the Redis that counts for all workers does not answer."""
    async with target(ground, workers=2, PORTAL_REDIS_URL="redis://127.0.0.1:1/0") as server:
        customer = await server.customer(uses=9)
        device = (await server.activate(customer, "machine")).json()
        headers = {"authorization": f"Bearer {device['access_token']}"}

        async def ask(number: int) -> int:
            if number % 3:
                return (await server.http.get("/licenses/policy", headers=headers)).status_code
            return (await server.activate(customer, "machine")).status_code

        statuses = await together(range(300), ask)
        refused = sum(status != 200 for status in statuses)
        return [Finding("devices refused while Redis is away", len(statuses), refused, 0)]
