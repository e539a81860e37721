"""A stolen session of a tenant: where its one-time passwords go, and names that nobody sees or that forge a line."""

from __future__ import annotations

from typing import Any

from httpx2 import Response

from bench.attacks.target import Customer, Finding, Ground, Target, count_of, faults_of, target

PROFILE = "/api/tenant/profile"
UPDATE = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { problems { code } } }"
UNSEEN = ("\u200b\u2060", "\u3164", "\u115f\u1160", "\u2800", "\ufe0f", "\U000e0041", "\u034f", "\u180e")
SEVERAL_LINES = ("a\nb", "a\r\nBcc: b", "a\u2028b", "a\u2029b", "a\x85b", "a\x0bb", "a\x1bb", "a\x7fb", "a\tb")


async def stolen_sessions(ground: Ground) -> list[Finding]:
    """Ways in which a session moves the address of one-time passwords, and what gets in by the moved one."""
    async with target(ground) as server:
        moved, signed_in, faults = [], 0, 0
        for way in ("http", "graphql", "cleared, then set"):
            customer = await server.customer()
            headers = await server.session(customer.slug, customer.email)
            thief = f"thief@{customer.slug}.example"
            answers = await move(server, headers, way, thief)
            faults += faults_of(answers)
            shown = (await server.http.get(PROFILE, headers=headers)).json()
            if shown["email"] == thief:
                moved.append(way)
                signed_in += await gets_in(server, customer, thief)
        told = f"{', '.join(moved) or 'none'}; {signed_in} signed in by a code sent to the thief"
        names = await unseen_names(server)
        return [Finding("addresses that a session moves", 3, len(moved), faults, told), names]


async def move(server: Target, headers: dict[str, str], way: str, thief: str) -> list[Response]:
    """The answers to a thief who asks for another address."""
    if way == "graphql":
        body = {"query": UPDATE, "variables": {"input": {"email": thief}}}
        return [await server.http.post("/graphql", headers=headers, json=body)]
    steps = [{"email": thief}] if way == "http" else [{"email": ""}, {"email": thief}]
    return [await server.http.put(PROFILE, headers=headers, json=step) for step in steps]


async def gets_in(server: Target, customer: Customer, thief: str) -> bool:
    """Whether a code that goes to the thief opens another session."""
    return bool((await server.session(customer.slug, thief)).get("x-session-token"))


async def unseen_names(server: Target) -> Finding:
    """Names of several lines, or of nothing that can be seen, wherever something is named."""
    customer = await server.customer()
    own, program = await server.session(customer.slug, customer.email), await server.operator()
    tenant = {"slug": "another", "subscriptionPlan": customer.plan}
    plan = {"stripePriceId": "price_other", "monthlyRunQuota": 1}
    site = {"description": "A site.", "objectives": "A page."}
    places: tuple[tuple[str, str, dict[str, str], dict[str, Any]], ...] = (
        ("PUT", PROFILE, own, {}),
        ("PUT", f"/admin/api/tenants/{customer.slug}", program, {}),
        ("POST", "/admin/api/tenants", program, tenant),
        ("POST", "/admin/api/plans", program, plan),
        ("POST", "/admin/api/tokens", program, {"role": "read_only"}),
        ("POST", "/api/tenant/projects", own, site),
    )
    answers = [
        await server.http.request(method, path, headers=who, json={**body, "name": text})
        for method, path, who, body in places
        for text in (*UNSEEN, *SEVERAL_LINES)
    ]
    through = sum(count_of(answers, at=status) for status in (200, 201))
    return Finding("names of several lines, or of nothing seen", len(answers), through, faults_of(answers))
