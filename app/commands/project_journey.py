"""The journey of a tenant's project: from signing in over the run, watched live, to the download."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import orjson

from app.commands.steps import Step, summary

OBJECTIVES: Final = "REST API for books with title and author\nSearch books by title\nDelete books"
# Seconds until the mail with the one-time password has arrived, and until the run has ended.
MAIL_SECONDS: Final = 20.0
RUN_SECONDS: Final = 120.0
PLACE: Final = "/api/tenant/projects"
_PASSWORD: Final = re.compile(r"\b\d{6}\b")


@dataclass
class ProjectJourney:
    """What the front end of a tenant does, with an activation code that has a use left."""

    http: httpx2.AsyncClient
    slug: str
    email: str
    code: str
    session: dict[str, str] = field(default_factory=dict)
    project_id: str = ""

    async def steps(self) -> AsyncIterator[Step]:
        """Run the steps in order; the caller stops after the first wrong one."""
        yield await self._sign_in()
        project = {"name": "Book Shelf", "description": "A service for books", "objectives": OBJECTIVES}
        step, made = await self._ask("project", "POST", PLACE, project, status=201)
        self.project_id = str(made.get("projectId", ""))
        yield step
        path = f"{PLACE}/{self.project_id}"
        body = {"activation_code": self.code}
        yield (await self._ask("project code", "POST", f"{path}/assign-activation-code", body))[0]
        yield (await self._ask("run", "POST", f"{path}/run", None))[0]
        async for step in self._watched(path):
            yield step
        yield await self._downloaded(path)

    async def _sign_in(self) -> Step:
        """Ask for a one-time password, read it in the development mailbox, and sign in with it."""
        await self.http.post("/api/tenant/auth/otp/generate", json={"tenant_slug": self.slug})
        try:
            async with asyncio.timeout(MAIL_SECONDS):
                while (password := await self._mailed()) is None:  # noqa: ASYNC110 - the mailbox is asked over HTTP
                    await asyncio.sleep(0.25)
        except TimeoutError:
            return Step("sign-in", "GET /dev/mailbox", "no mail", f"a mail to {self.email} with the password")
        body = {"tenant_slug": self.slug, "otp_code": password}
        step, signed_in = await self._ask("sign-in", "POST", "/api/tenant/auth/otp/verify", body)
        self.session = {"x-session-token": str(signed_in.get("session_token", ""))}
        return step

    async def _mailed(self) -> str | None:
        answer = await self.http.get("/dev/mailbox", headers={"accept": "application/json"})
        if answer.status_code != 200:
            return None
        mails = [mail for mail in answer.json()["messages"] if mail["to"] == self.email]
        found = (_PASSWORD.search(mail["text"]) for mail in mails if "sign-in code is" in mail["text"])
        return next((match.group() for match in found if match), None)

    async def _watched(self, path: str) -> AsyncIterator[Step]:
        """A step for each task that ends, as the stream of events tells it, and a last one for the run."""
        headers = {**self.session, "accept": "text/event-stream"}
        try:
            async with (
                asyncio.timeout(RUN_SECONDS),
                self.http.stream("GET", f"{path}/events", headers=headers, timeout=RUN_SECONDS) as stream,
            ):
                async for line in stream.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    event = orjson.loads(line.removeprefix("data:"))
                    kind, run = event.get("kind", ""), event.get("run", {})
                    figures = f"{run.get('completedTasks')} of {run.get('totalTasks')} tasks"
                    if kind in {"task_completed", "task_failed"}:
                        yield Step("task", event["message"], figures)
                    elif kind.startswith("run_") and kind != "run_started":
                        wrong = "" if kind == "run_completed" else "a completed run"
                        yield Step("run ended", event["message"], f"{run.get('state')}, {figures}", wrong)
                        return
        except (httpx2.HTTPError, TimeoutError) as failure:
            yield Step("events", f"GET {path}/events", type(failure).__name__, "events to the run's end")
            return
        yield Step("events", f"GET {path}/events", "the stream ended", "events to the run's end")

    async def _downloaded(self, path: str) -> Step:
        answer = await self.http.get(f"{path}/download", headers=self.session, timeout=RUN_SECONDS)
        asked = f"GET {path}/download"
        if answer.status_code != 200:
            return Step("download", asked, f"{answer.status_code} {summary(answer.json())}", "200 and a zip")
        try:
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return Step("download", asked, "something else than a zip", "a zip")
        return Step("download", asked, f"{len(names)} files in {len(answer.content) // 1000} kB")

    async def _ask(
        self, name: str, method: str, path: str, body: dict[str, Any] | None, *, status: int = 200
    ) -> tuple[Step, dict[str, Any]]:
        asked = f"{method} {path}"
        try:
            answer = await self.http.request(method, path, json=body, headers=self.session)
            payload: dict[str, Any] = answer.json()
        except (httpx2.HTTPError, ValueError) as failure:
            return Step(name, asked, "nothing", f"an answer, not {type(failure).__name__}"), {}
        answered = f"{answer.status_code} {summary(_shown(payload))}"
        return Step(name, asked, answered, "" if answer.status_code == status else str(status)), payload


def _shown(payload: dict[str, Any]) -> dict[str, Any]:
    """The few members that tell a reader what has happened."""
    told = (
        "errorCode",
        "detail",
        "tenant_slug",
        "projectId",
        "executionStatus",
        "activationCodeId",
        "execution_id",
        "status",
    )
    return {name: payload[name] for name in told if payload.get(name) is not None}
