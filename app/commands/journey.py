"""The whole journey of a device: what is asked at each step, what is answered, and whether that is right."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from app.context import Context
from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant

PLAN = "Demonstration journey"
QUOTA = 100
RUNS = 3
# Tokens are shown by their beginning: enough to tell them apart, of no use to anybody.
SHOWN_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done; ``wrong`` says what was expected instead, or is empty."""

    name: str
    asked: str
    answered: str
    wrong: str = ""


@dataclass
class Journey:
    """A tenant of its own, one device, and a second one that must be refused."""

    ctx: Context
    http: httpx2.AsyncClient
    slug: str = field(default_factory=lambda: f"journey-{uuid.uuid4().hex[:8]}")
    tokens: dict[str, Any] = field(default_factory=dict)

    async def steps(self) -> AsyncIterator[Step]:
        """Take the steps in order; stop asking after the first that went wrong."""
        code = ""
        async for step, made in self._operator_steps():
            code = made
            yield step
        first = {"tenant_slug": self.slug, "hw_fingerprint": f"{self.slug}-first"}
        second = {"tenant_slug": self.slug, "activation_code": code, "hw_fingerprint": f"{self.slug}-second"}
        activated = await self._ask("activation", "POST", "/authz/activate", {**first, "activation_code": code}, {})
        yield activated
        limits = {"plan_name": PLAN, "monthly_run_quota": QUOTA, "subscription_state": "active"}
        yield await self._ask("policy", "GET", "/licenses/policy", None, limits)
        fingerprint = {"hw_fingerprint": first["hw_fingerprint"]}
        yield await self._ask("heartbeat", "POST", "/licenses/heartbeat", fingerprint, {"ok": True})
        events = [{"id": f"run-{number}", "kind": "run", "quantity": 1} for number in range(RUNS)]
        counted = {"accepted": RUNS, "duplicate": 1, "rejected": 0}
        yield await self._ask(
            "usage events", "POST", f"/usage/{self.slug}/events", {"events": [*events, events[0]]}, counted
        )
        yield await self._ask("usage", "GET", f"/usage/{self.slug}", None, {"runs": RUNS, "quota": QUOTA})
        renewal = {
            "tenant_slug": self.slug,
            "device_id": self.tokens.get("device_id"),
            "refresh_token": self.tokens.get("refresh_token"),
        }
        yield await self._ask("refresh", "POST", "/authz/refresh", renewal, {"token_type": "Bearer"})
        refused = {"errorCode": "device_limit_reached"}
        yield await self._ask("second device", "POST", "/authz/activate", second, refused, status=403)

    async def _operator_steps(self) -> AsyncIterator[tuple[Step, str]]:
        """What an operator does beforehand, through the use cases; beside each step the code, once there is one."""
        plan, change = await ensure_plan(
            self.ctx, name=PLAN, price_id="price_demonstration_journey", quota=QUOTA, max_devices=1
        )
        yield Step("plan", f"a plan of {QUOTA} runs a month and one device", f"{plan.name} {change}"), ""
        tenant, _ = await ensure_tenant(self.ctx, name=f"Journey {self.slug}", slug=self.slug)
        subscription, _ = await link_subscription(self.ctx, tenant_slug=tenant.slug, plan_name=PLAN)
        yield Step("tenant", f"a tenant {self.slug} on that plan", f"tenant {tenant.id}, {subscription.state}"), ""
        (code,) = await generate_codes(self.ctx, self.slug, max_uses=2, ttl_days=1, label="portal demo")
        yield Step("code", "an activation code for two devices", code), code

    async def _ask(
        self,
        name: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        expected: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> Step:
        """Send one request as the device and compare the answer with what it must contain."""
        asked = f"{method} {path}"
        bearer = {"authorization": f"Bearer {self.tokens['access_token']}"} if self.tokens else {}
        try:
            response = await self.http.request(method, path, json=body, headers=bearer)
            told = response.json()
        except (httpx2.HTTPError, ValueError) as failure:
            return Step(name, asked, "nothing", f"an answer, not {type(failure).__name__}")
        if "access_token" in told:
            self.tokens = told
        answered = f"{response.status_code} {_shown(told)}"
        unlike = {key: value for key, value in expected.items() if told.get(key) != value}
        if response.status_code != status or unlike:
            return Step(name, asked, answered, f"{status} {_shown({**expected})}".strip())
        return Step(name, asked, answered)


def _shown(told: Mapping[str, Any]) -> str:
    """The members that tell something, tokens shortened."""
    problem = ("errorCode", "detail")
    members = {key: told[key] for key in problem if key in told} if "errorCode" in told else dict(told)
    members.pop("events", None)
    for key in members:
        if key.endswith("_token"):
            members[key] = f"{members[key][:SHOWN_CHARACTERS]}…"
    return ", ".join(f"{key}={value}" for key, value in members.items())
