"""Licenses for nothing: one seat on many machines, and other names of a device's number."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from httpx2 import Response

from bench.attacks.target import Customer, Finding, Ground, Target, count_of, faults_of, target

COPIES, GRACE_SECONDS = 50, 2
MOVES, MOVES_A_DAY = 12, 3
# Ways to write a number that int() takes for it; %s is its first digit, then the second.
NUMERALS = ("%s_%s", "+%s%s", "0%s%s", "%s%s_", "-%s%s", "%s%s.0", "%s%s%%20", "%%20%s%s", "%%3%s%%3%s", "%s%s%%0A")
# In other digits than ours.
FULL_WIDTH = {ord(str(digit)): chr(0xFF10 + digit) for digit in range(10)}


async def copied_devices(ground: Ground) -> list[Finding]:
    """One fingerprint activates fifty times, and each of the machines goes on with the tokens that it was given."""
    async with target(ground, PORTAL_REFRESH_GRACE_SECONDS=str(GRACE_SECONDS)) as server:
        customer = await server.customer(max_devices=1)
        pairs = [await server.activate(customer, "one machine") for _ in range(COPIES)]
        await asyncio.sleep(GRACE_SECONDS + 1)
        found = []
        tokens = [answer.json() for answer in pairs if answer.status_code == 200]
        for turn in ("their first", "their second"):
            answers = [await refresh(server, customer, pair) for pair in tokens]
            tokens = [answer.json() for answer in answers if answer.status_code == 200]
            found.append(
                Finding(
                    f"copied device, {turn} refresh",
                    len(answers),
                    max(0, len(tokens) - 1),
                    faults_of(answers),
                    f"{len(tokens)} live on",
                )
            )
        listed = await server.http.get(
            f"/admin/api/devices?tenant_slug={customer.slug}", headers=await server.operator()
        )
        (device,) = listed.json()["devices"]
        found[0] = found[0]._replace(told=f"{found[0].told}; {device.get('cloneCount', 'no')} clones shown")
        return [*found, await moved_device(server)]


async def refresh(server: Target, customer: Customer, pair: dict[str, object]) -> Response:
    """The answer to a machine that shows its token."""
    body = {"tenant_slug": customer.slug, **{name: pair[name] for name in ("device_id", "refresh_token")}}
    return await server.http.post("/authz/refresh", json=body)


async def moved_device(server: Target) -> Finding:
    """Machines that take turns in activating, on a plan that bounds how often a device moves."""
    customer, headers = await server.customer(max_devices=1), await server.operator()
    plans = (await server.http.get("/admin/api/plans", headers=headers)).json()["plans"]
    plan = next(each for each in plans if each["name"] == customer.plan)
    body = {"deviceMovesPerDay": MOVES_A_DAY}
    bounded = await server.http.put(f"/admin/api/plans/{plan['id']}", headers=headers, json=body)
    answers = [await server.activate(customer, "one machine") for _ in range(MOVES)]
    through = max(0, count_of(answers) - 1 - MOVES_A_DAY)
    told = f"{count_of(answers)} activated; the plan's bound was answered {bounded.status_code}"
    return Finding("machines that take turns", MOVES, through, faults_of(answers), told)


async def numbers_in_paths(ground: Ground) -> list[Finding]:
    """Other texts of a device's number, each of a device of its own."""
    async with target(ground) as server:
        customer, headers = await server.customer(uses=99), await server.operator()
        devices = [await server.activate(customer, f"machine {number}") for number in range(10 + len(NUMERALS))]
        ids = [str(answer.json()["device_id"]) for answer in devices if answer.json()["device_id"] >= 10]
        texts = [text % tuple(number) for text, number in zip(NUMERALS, ids, strict=False)]
        texts.append(quote(ids[-1].translate(FULL_WIDTH)))
        deleted = [await server.http.delete(f"/admin/api/devices/{text}", headers=headers) for text in texts]
        listed = await server.http.get(f"/admin/api/devices?tenant_slug={customer.slug}&page_size=100", headers=headers)
        revoked = [device for device in listed.json()["devices"] if device["isRevoked"]]
        pages = [
            await server.http.get(f"/admin/api/devices?page={text}", headers=headers)
            for text in ("1_0", "%2B1", "01", "1%0A", "%201", quote("\uff11"))
        ]
        return [
            Finding(
                "another text of a device's number",
                len(texts),
                count_of(deleted),
                faults_of(deleted),
                f"{len(revoked)} devices revoked",
            ),
            Finding("another text of a page's number", len(pages), count_of(pages), faults_of(pages)),
        ]
