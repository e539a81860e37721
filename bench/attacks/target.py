"""The server that is attacked, of this checkout or of another one, with a database of its own, and its customers.

All of it is made and asked as anybody may: by the portal's commands and over HTTP. So one attack meets any version.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx2
from support.databases import SECRET, is_setting

from bench import ROOT
from bench.servers import free_port

READY_SECONDS = 60.0
MAIL_SECONDS = 20.0
# How many requests of an attack wait for their answers at the same time.
AT_ONCE = 10
PASSWORD = "a password of the bench"

Given = TypeVar("Given")
Got = TypeVar("Got")


class Finding(NamedTuple):
    """One attack: how often it was tried, how often it got through, and the answers 5xx or none at all."""

    attack: str
    tried: int
    through: int
    faults: int
    told: str = ""


@dataclass(frozen=True)
class Ground:
    """Where servers are started: a checkout, an empty database and an empty folder for the state."""

    tree: Path
    url: str
    folder: Path

    @property
    def is_postgres(self) -> bool:
        """Whether its database is one of PostgreSQL."""
        return self.url.startswith("postgresql")

    @property
    def python(self) -> str:
        """The interpreter of the checkout: this one, or that of its own environment in ``.venv``."""
        return sys.executable if self.tree == ROOT else str(self.tree / ".venv" / "bin" / "python")


@dataclass(frozen=True)
class Customer:
    """A tenant with an active subscription to a plan of its own, and its codes."""

    slug: str
    plan: str
    codes: list[str]
    email: str


@dataclass
class Target:
    """A running server: its address, its log, and the environment that its commands need."""

    ground: Ground
    environment: dict[str, str]
    port: int
    http: httpx2.AsyncClient
    process: subprocess.Popen[bytes] | None = None
    _operators: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return (self.ground.folder / f"serve-{self.port}.log").read_text(errors="replace")

    def worker_pids(self) -> list[int]:
        """The workers that it has started so far, dead ones as well, the newest last."""
        lines = (line for line in self.log.splitlines() if line.startswith("{") and "worker_started" in line)
        return [int(json.loads(line)["pid"]) for line in lines]

    async def command(self, *arguments: str, first_line: str = "") -> Any:
        """What ``portal ... --json`` answers; raises RuntimeError with its words if it prints no JSON."""
        command = [self.ground.python, "-m", "app", *arguments, "--json"]
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            cwd=self.ground.tree,
            env=self.environment,
            input=first_line,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise RuntimeError(f"portal {arguments[0]}: {done.stdout[-500:]}{done.stderr[-1500:]}") from None

    async def start(self, workers: int = 1) -> None:
        """Serve, and return once it is ready."""
        command = [self.ground.python, "-m", "app", "serve", "--port", str(self.port), "--workers", str(workers)]
        with (self.ground.folder / f"serve-{self.port}.log").open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.ground.tree, env=self.environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx2.TransportError):
                if (await self.http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"not ready: {self.log[-3000:]}")

    async def stop(self) -> None:
        """End it, at once if it does not end by itself within half a minute."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, 30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)

    async def customer(self, *, codes: int = 1, uses: int = 1, max_devices: int | None = None) -> Customer:
        """A new tenant."""
        name = uuid.uuid4().hex[:8]
        plan, slug, email = f"Plan {name}", f"tenant-{name}", f"it@{name}.example"
        sold = {"name": plan, "stripePriceId": f"price_{name}", "monthlyRunQuota": 1000, "maxDevices": max_devices}
        await self.made("/admin/api/plans", sold)
        await self.made(
            "/admin/api/tenants", {"name": f"The {name}", "slug": slug, "subscriptionPlan": plan, "email": email}
        )
        wanted = {"tenant_slug": slug, "count": codes, "max_uses": uses}
        return Customer(slug, plan, (await self.made("/admin/api/codes/generate", wanted))["codes"], email)

    async def made(self, path: str, body: dict[str, Any]) -> Any:
        """What an owner's program is answered that makes something; raises RuntimeError if it is refused."""
        answer = await self.http.post(path, headers=await self.operator(), json=body)
        if answer.status_code >= 300:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def operator(self, role: str = "owner") -> dict[str, str]:
        """What a program with an API token of this role sends."""
        if role not in self._operators:
            made = await self.command("create-token", "--name", "bench", "--role", role)
            self._operators[role] = {"authorization": f"Bearer {made['token']}"}
        return self._operators[role]

    async def activate(self, customer: Customer, hardware: str, code: str | None = None) -> httpx2.Response:
        """The answer to an activation with the customer's first code or another one."""
        body = {"tenant_slug": customer.slug, "activation_code": code or customer.codes[0], "hw_fingerprint": hardware}
        return await self.http.post("/authz/activate", json=body)

    async def mails(self) -> list[dict[str, str]]:
        """The development mailbox, the newest first."""
        messages: list[dict[str, str]] = (
            await self.http.get("/dev/mailbox", headers={"accept": "application/json"})
        ).json()["messages"]
        return messages

    async def mail(self, is_sought: Callable[[dict[str, str]], object]) -> dict[str, str]:
        """The newest such mail, waited for."""
        deadline = time.monotonic() + MAIL_SECONDS
        while time.monotonic() < deadline:
            for message in await self.mails():
                if is_sought(message):
                    return message
            await asyncio.sleep(0.2)
        raise RuntimeError("no such mail was sent")

    async def session(self, slug: str, email: str) -> dict[str, str]:
        """What a browser sends in which this tenant has signed in, with the code that went to this address."""
        await self.http.post("/api/tenant/auth/otp/generate", json={"tenant_slug": slug})
        message = await self.mail(lambda each: each["to"] == email and re.search(r"\b\d{6}\b", each["text"]))
        (code,) = re.findall(r"\b\d{6}\b", message["text"])
        answer = await self.http.post("/api/tenant/auth/otp/verify", json={"tenant_slug": slug, "otp_code": code})
        return {"x-session-token": answer.json()["session_token"]}

    async def cookie(self) -> str:
        """The cookie of an owner who has signed in by password on the portal's own page."""
        email = f"{uuid.uuid4().hex[:8]}@example.com"
        await self.command(
            "create-operator", "--email", email, "--role", "owner", "--password-stdin", first_line=f"{PASSWORD}\n"
        )
        shown = await self.http.get("/admin/login", headers={"accept": "text/html"})
        (token,) = set(re.findall(r'name="form_token" value="([0-9a-f]+)"', shown.text))
        form = {"form_token": token, "email": email, "password": PASSWORD}
        origin = self.environment.get("PORTAL_PUBLIC_URL", self.base_url)
        headers = {"origin": origin, "cookie": cookies(shown)}
        return cookies(await self.http.post("/auth/local", data=form, headers=headers))


def cookies(answer: httpx2.Response) -> str:
    """What a browser that was given these cookies sends; over plain HTTP as well, where no browser would."""
    given = (line.partition(";")[0] for line in answer.headers.get_list("set-cookie"))
    return "; ".join(one for one in given if not one.endswith("="))


@contextlib.asynccontextmanager
async def target(ground: Ground, *, workers: int = 1, **environment: str) -> AsyncIterator[Target]:
    """A server with limits on, until the block ends; ``environment`` are more of its settings."""
    port = free_port()
    settings = {
        **{key: value for key, value in os.environ.items() if not is_setting(key)},
        "PORTAL_DATABASE_URL": ground.url,
        "PORTAL_STATE_DIR": str(ground.folder),
        "PORTAL_SECRET_KEY": SECRET,
        "PORTAL_LOG_FORMAT": "json",
        "PORTAL_PUBLIC_URL": f"http://127.0.0.1:{port}",
        **environment,
    }
    # No connection is used twice, so each request may meet another worker.
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=0)
    http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60, limits=limits)
    async with http:
        attacked = Target(ground, settings, port, http)
        # Made by the attacked version, in development and in production alike.
        await attacked.command("migrate")
        try:
            await attacked.start(workers)
            yield attacked
        finally:
            await attacked.stop()


async def together(given: Iterable[Given], ask: Callable[[Given], Awaitable[Got]], at_once: int = AT_ONCE) -> list[Got]:
    """The answers to all of them in their order."""
    free = asyncio.Semaphore(at_once)

    async def one(each: Given) -> Got:
        async with free:
            return await ask(each)

    return await asyncio.gather(*(one(each) for each in given))


def count_of(answers: Iterable[httpx2.Response], *, at: int = 200) -> int:
    """How many have this status."""
    return sum(answer.status_code == at for answer in answers)


def faults_of(answers: Iterable[httpx2.Response]) -> int:
    """How many say that it is our fault."""
    return sum(answer.status_code >= 500 for answer in answers)
