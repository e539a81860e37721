"""Every path of every server answers what it should, before anything is measured; and a revocation under load holds."""

from __future__ import annotations

import secrets
from typing import Any

import httpx2

from app.services.licensing.devices import revoke_device
from bench.scenarios import BARE, DIRECT
from bench.seeding import PLAN, QUOTA, Fleet, SeededDevice, refresh_tokens
from bench.servers import Server

POLICY = {"plan_name": PLAN, "monthly_run_quota": QUOTA, "subscription_state": "active"}
BRANDING = {"logo_url": "https://cdn.example/logo.svg", "primary_color": "#1a2b3c", "domain": "app.example"}


async def check(server: Server, fleet: Fleet) -> None:
    """Raise AssertionError naming the server and the path that answers something else."""
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        if server.name == BARE:
            assert (await http.get("/")).status_code == 200
            return
        asking = Asking(http, server.name)
        device = fleet.asking[0]
        await asking.expect(POLICY, "GET", "/licenses/policy", device)
        await asking.expect({"ok": True}, "POST", "/licenses/heartbeat", device, hw_fingerprint=device.hw_fingerprint)
        await asking.refused(403, "POST", "/licenses/heartbeat", device, hw_fingerprint="another")
        await asking.expect(BRANDING, "GET", f"/licenses/branding/{device.tenant.slug}", None)
        await _check_ingest(asking, device)
        if server.name != DIRECT:
            await _check_refresh(asking, fleet)
            await _check_activation(asking, device)


class Asking:
    """Requests to one server, with what it should answer."""

    def __init__(self, http: httpx2.AsyncClient, name: str) -> None:
        self._http = http
        self._name = name

    async def expect(
        self, wanted: dict[str, Any], method: str, path: str, device: SeededDevice | None, **body: Any
    ) -> dict[str, Any]:
        """An answer with status 200 that has at least these members."""
        answer = await self._ask(method, path, device, body)
        assert answer.status_code == 200, f"{self._name} {path}: {answer.status_code} {answer.text}"
        told: dict[str, Any] = answer.json()
        found = {name: told.get(name) for name in wanted}
        assert found == wanted, f"{self._name} {path}: {told}"
        return told

    async def refused(self, status: int, method: str, path: str, device: SeededDevice | None, **body: Any) -> None:
        """An answer with this status."""
        answer = await self._ask(method, path, device, body)
        assert answer.status_code == status, f"{self._name} {path}: {answer.status_code} {answer.text}"

    async def _ask(self, method: str, path: str, device: SeededDevice | None, body: dict[str, Any]) -> httpx2.Response:
        headers = {"authorization": f"Bearer {device.access_token}"} if device else {}
        return await self._http.request(method, path, headers=headers, json=body or None)


async def _check_ingest(asking: Asking, device: SeededDevice) -> None:
    path = f"/usage/{device.tenant.slug}/events"
    event = {"id": secrets.token_hex(8), "kind": "run", "quantity": 1}
    for wanted in ({"accepted": 1, "duplicate": 0}, {"accepted": 0, "duplicate": 1}):
        await asking.expect(wanted, "POST", path, device, events=[event])
    await asking.refused(403, "POST", "/usage/bench-0999/events", device, events=[event])


async def _check_refresh(asking: Asking, fleet: Fleet) -> None:
    ((device, token),) = await refresh_tokens(fleet, 1)
    body = {"tenant_slug": device.tenant.slug, "device_id": device.id}
    path = "/authz/refresh"
    pair = await asking.expect({"device_id": device.id}, "POST", path, None, **body, refresh_token=token)
    newest = await asking.expect({}, "POST", path, None, **body, refresh_token=pair["refresh_token"])
    # Shown twice: the family is closed, for the newest token too.
    await asking.refused(401, "POST", path, None, **body, refresh_token=token)
    await asking.refused(401, "POST", path, None, **body, refresh_token=newest["refresh_token"])


async def _check_activation(asking: Asking, device: SeededDevice) -> None:
    hardware = secrets.token_hex(8)
    body = {"tenant_slug": device.tenant.slug, "activation_code": device.tenant.code, "hw_fingerprint": hardware}
    path = "/authz/activate"
    pair = await asking.expect({"token_type": "Bearer"}, "POST", path, None, **body)
    # Again with the code that bound it: the same device.
    await asking.expect({"device_id": pair["device_id"]}, "POST", path, None, **body)
    await asking.refused(404, "POST", path, None, **body | {"tenant_slug": "nobody"})
    await asking.expect({}, "POST", path, None, **body | {"activation_code": device.tenant.code.lower()})
    new = SeededDevice(device.tenant, pair["device_id"], hardware, pair["access_token"])
    await asking.expect(POLICY, "GET", "/licenses/policy", new)


async def is_refused_after_revocation(server: Server, fleet: Fleet) -> bool:
    """Whether a device that was served is refused at its first call after it was revoked."""
    device = fleet.spare.pop()
    headers = {"authorization": f"Bearer {device.access_token}"}
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60, headers=headers) as http:
        before = await http.get("/licenses/policy")
        await revoke_device(fleet.ctx, device.tenant.slug, device.id)
        after = await http.get("/licenses/policy")
    return (before.status_code, after.status_code) == (200, 401)
