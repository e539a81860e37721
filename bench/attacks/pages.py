"""Pages of other origins: whom a production trusts by itself, and what a cookie does from there."""

from __future__ import annotations

from bench.attacks.target import Finding, Ground, Target, faults_of, target

LOCAL = tuple(f"http://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]") for port in (3000, 3001, 3002))
FOREIGN = ("null", "https://evil.example", "http://localhost:3000.evil.example", "file://", "http://localhost:5173")
PRODUCTION = {
    "PORTAL_ENVIRONMENT": "production",
    "PORTAL_SECRET_KEY": "abcdefghijklmnopqrstuvwxyz0123456789",
    "PORTAL_PUBLIC_URL": "https://portal.example.com",
}
ASKED = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
DELETE = "mutation($slug: String!) { deleteTenant(slug: $slug) { deletedSlug problems { code } } }"


async def trusted_pages(ground: Ground) -> list[Finding]:
    """A production in which nothing is set, and a development, and pages of theirs and of others."""
    found = []
    async with target(ground, **PRODUCTION) as server:
        found += await cross_origin(server, (*LOCAL, *FOREIGN), "production")
        checks = (await server.command("doctor"))["checks"]
        named = [check for check in checks if "origin" in str(check)]
        found.append(Finding("doctor says nothing of trusted pages", 1, int(not named), 0, str(named[:1])[:100]))
    return found


async def trusted_pages_in_development(ground: Ground) -> list[Finding]:
    """The same of a development, which trusts its nine, and no other to change anything."""
    async with target(ground) as server:
        found = await cross_origin(server, FOREIGN[:-1], "development")
        cookie, customer = await server.cookie(), await server.customer()
        answers = []
        for origin in FOREIGN:
            for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
                headers = {"origin": origin, "cookie": cookie, "content-type": kind}
                body = {"query": DELETE, "variables": {"slug": customer.slug}}
                answers.append(await server.http.post("/graphql", headers=headers, json=body))
        shown = await server.http.get(f"/admin/api/tenants/{customer.slug}", headers=await server.operator())
        gone = int(shown.status_code != 200)
        return [*found, Finding("GraphQL by cookie from elsewhere", len(answers), gone, faults_of(answers))]


async def cross_origin(server: Target, origins: tuple[str, ...], where: str) -> list[Finding]:
    """Preflights that are granted, and changes by an operator's cookie that are let in, from these origins."""
    cookie = await server.cookie()
    granted = [await server.http.options("/graphql", headers={"origin": origin, **ASKED}) for origin in origins]
    sent = [
        await server.http.post("/admin/api/plans", headers={"origin": origin, "cookie": cookie}, json={})
        for origin in origins
    ]
    own = {"origin": server.environment["PORTAL_PUBLIC_URL"], "cookie": cookie}
    is_sound = (await server.http.post("/admin/api/plans", headers=own, json={})).status_code == 422
    if not is_sound:
        raise RuntimeError("the cookie signs nothing from the portal's own page either")
    readable = sum("access-control-allow-origin" in answer.headers for answer in granted)
    # A change that is let in is refused only for what it says.
    let_in = sum(answer.status_code == 422 for answer in sent)
    return [
        Finding(f"{where}: pages that may call from a browser", len(origins), readable, faults_of(granted)),
        Finding(f"{where}: pages that change by a cookie", len(origins), let_in, faults_of(sent)),
    ]
