"""The whole journey of a device and then of a project, step by step: each request, and whether its answer is right."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from app.commands.project_journey import ProjectJourney
from app.commands.steps import Step, summary
from app.context import Context
from app.services.billing.plans import ensure_plan
from app.services.billing.subscriptions import link_subscription
from app.services.licensing.codes import generate_codes
from app.services.tenants.onboarding import ensure_tenant

PLAN = "Demonstration journey"
QUOTA = 100
RUNS = 3


@dataclass
class Journey:
    """A journey with a new tenant, a first device, and a second device that must be refused."""

    ctx: Context
    http: httpx2.AsyncClient
    slug: str = field(default_factory=lambda: f"journey-{uuid.uuid4().hex[:8]}")
    tokens: dict[str, Any] = field(default_factory=dict)

    async def steps(self) -> AsyncIterator[Step]:
        """Run the steps in order; the caller stops after the first wrong one."""
        code = ""
        async for step, step_code in self._operator_steps():
            code = step_code
            yield step
        first = {"tenant_slug": self.slug, "hw_fingerprint": f"{self.slug}-first"}
        second = {"tenant_slug": self.slug, "activation_code": code, "hw_fingerprint": f"{self.slug}-second"}
        activation = await self._ask("activation", "POST", "/authz/activate", {**first, "activation_code": code}, {})
        yield activation
        limits = {"plan_name": PLAN, "monthly_run_quota": QUOTA, "subscription_state": "active"}
        yield await self._ask("policy", "GET", "/licenses/policy", None, limits)
        fingerprint = {"hw_fingerprint": first["hw_fingerprint"]}
        yield await self._ask("heartbeat", "POST", "/licenses/heartbeat", fingerprint, {"ok": True})
        events = [{"id": f"run-{number}", "kind": "run", "quantity": 1} for number in range(RUNS)]
        counts = {"accepted": RUNS, "duplicate": 1, "rejected": 0}
        yield await self._ask(
            "usage events", "POST", f"/usage/{self.slug}/events", {"events": [*events, events[0]]}, counts
        )
        yield await self._ask("usage", "GET", f"/usage/{self.slug}", None, {"runs": RUNS, "quota": QUOTA})
        renewal = {
            "tenant_slug": self.slug,
            "device_id": self.tokens.get("device_id"),
            "refresh_token": self.tokens.get("refresh_token"),
        }
        yield await self._ask("refresh", "POST", "/authz/refresh", renewal, {"token_type": "Bearer"})
        refusal = {"errorCode": "device_limit_reached"}
        yield await self._ask("second device", "POST", "/authz/activate", second, refusal, status=403)
        async for step in ProjectJourney(self.http, self.slug, self._email, code).steps():
            yield step

    @property
    def _email(self) -> str:
        return f"{self.slug}@example.com"

    async def _operator_steps(self) -> AsyncIterator[tuple[Step, str]]:
        """The operator's steps before the device's, run through the use cases; each with the code, once it exists."""
        plan, change = await ensure_plan(
            self.ctx, name=PLAN, price_id="price_demonstration_journey", quota=QUOTA, max_devices=1
        )
        yield Step("plan", f"a plan of {QUOTA} runs a month and one device", f"{plan.name} {change}"), ""
        tenant, _ = await ensure_tenant(self.ctx, name=f"Journey {self.slug}", slug=self.slug, email=self._email)
        subscription, _ = await link_subscription(self.ctx, tenant_slug=tenant.slug, plan_name=PLAN)
        yield Step("tenant", f"a tenant {self.slug} on that plan", f"tenant {tenant.id}, {subscription.state}"), ""
        (code,) = await generate_codes(self.ctx, self.slug, max_uses=2, ttl_days=1, label="portal demo")
        yield Step("code", "an activation code for two uses", code), code

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
        """Send one request as the device, and compare the answer with the expected members."""
        request = f"{method} {path}"
        bearer = {"authorization": f"Bearer {self.tokens['access_token']}"} if self.tokens else {}
        try:
            response = await self.http.request(method, path, json=body, headers=bearer)
            payload = response.json()
        except (httpx2.HTTPError, ValueError) as failure:
            return Step(name, request, "nothing", f"an answer, not {type(failure).__name__}")
        if "access_token" in payload:
            self.tokens = payload
        answered = f"{response.status_code} {summary(payload)}"
        differences = {key: value for key, value in expected.items() if payload.get(key) != value}
        if response.status_code != status or differences:
            return Step(name, request, answered, f"{status} {summary({**expected})}".strip())
        return Step(name, request, answered)
