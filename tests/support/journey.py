"""A journey through a real server: requests, pages, commands and outages, and what was seen in clear on the way."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from httpx2 import Response
from sqlalchemy import text
from sqlalchemy.engine import make_url
from support.leaks import Secrets, stored
from support.operators import HTML, form_token
from support.processes import ServerProcess

PATIENCE = 60.0
REDIS_PASSWORD = "redis password 5K"
JSON = {"content-type": "application/json"}


class Journey:
    """One server, who speaks to it, what they have seen in clear, and how they were refused."""

    def __init__(self, server: ServerProcess, secrets: Secrets, folder: Path) -> None:
        self.server, self.secrets, self.folder = server, secrets, folder
        self.refusals: list[Response] = []
        self.headers: dict[str, str] = {}

    async def ask(self, method: str, path: str, status: int = 200, **sent: Any) -> Any:
        """The body of an answer with this status; the refused are searched as well."""
        answer = await self.server.http.request(method, path, **sent)
        self.judge(answer, status)
        return answer.json() if answer.content else None

    def judge(self, answer: Response, status: int) -> None:
        """Hold an answer to its status."""
        assert answer.status_code == status, f"{answer.request.method} {answer.request.url}: {answer.text}"
        if status >= 400:
            self.refusals.append(answer)

    async def command(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """What ``portal`` prints; what it logs goes to the server's log."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "app", *arguments, "--json"),
            env=self.server.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, logged = await process.communicate(stdin.encode())
        with (self.folder / "commands.log").open("ab") as log:
            log.write(logged)
        assert process.returncode == 0, logged.decode()
        return dict(json.loads(said))

    def browser(self) -> httpx2.AsyncClient:
        """A person's browser, which keeps cookies."""
        return httpx2.AsyncClient(base_url=self.server.base_url, trust_env=False, timeout=60, headers=HTML)

    async def send_form(self, person: httpx2.AsyncClient, page: str, path: str, status: int, **fields: str) -> Response:
        """Send a page's form with these fields, and remember its token and the cookies that come of it."""
        shown = await person.get(page)
        token = self.secrets.keep("form token", form_token(shown))
        answer = await person.post(path, data={"form_token": token, **fields}, headers={"origin": self.server.base_url})
        self.judge(answer, status)
        self.keep_cookies(person)
        return answer

    def keep_cookies(self, person: httpx2.AsyncClient) -> None:
        """Remember what the browser holds."""
        for name, value in person.cookies.items():
            # Each attempt to sign in has a cookie of its own.
            kind = "sign_in" if name.startswith("sign_in_") else name
            self.secrets.keep_token(f"cookie {kind}", value)

    async def twice(self, path: str, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        """Create something under an Idempotency-Key, ask for it again, and ask for something else under that key."""
        key = self.secrets.keep("idempotency key", f"key {uuid.uuid4()}".replace(" ", "-"))
        sent = {**(self.headers if headers is None else headers), "idempotency-key": key}
        made = await self.ask("POST", path, status, json=body, headers=sent)
        again = await self.server.http.post(path, json=body, headers=sent)
        assert (again.headers["idempotent-replayed"], again.json()) == ("true", made)
        await self.ask("POST", path, 409, content=json.dumps(body) + " ", headers={**sent, **JSON})
        return made

    async def broken(self, table: str, send: Callable[[], Any]) -> None:
        """Do something while no row can be added to a table, so that the database quotes the row that it refuses."""
        is_sqlite = self.server.runtime.db.is_sqlite
        failing = f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END"
        check = f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (created_at IS NULL) NOT VALID"
        mended = "DROP TRIGGER broken" if is_sqlite else f"ALTER TABLE {table} DROP CONSTRAINT broken"
        await self.change(failing if is_sqlite else check)
        try:
            await send()
        finally:
            await self.change(mended)

    async def change(self, statement: str, **values: Any) -> None:
        """Change the database behind the server's back."""
        async with self.server.ctx.write() as conn:
            await conn.affected(text(statement), **values)


async def left_by(journey: Journey) -> dict[str, bytes]:
    """What is stored, what the figures show, and what was answered to who was refused."""
    found = await stored(journey.server, journey.folder)
    found["/metrics"] = (await journey.server.http.get("/metrics")).content
    for number, refusal in enumerate(journey.refusals):
        place = f"answer {number} to {refusal.request.url.path}, {refusal.status_code}"
        # A form hands back, in its fields, what its sender has sent.
        shown = re.sub(rb"<input[^>]*>", b"", refusal.content)
        found[place] = shown + repr(sorted(refusal.headers.multi_items())).encode()
    return found


def talkative(**more: str) -> dict[str, str]:
    """Settings with which everything is logged that can be, and limits are counted where nobody counts."""
    return {
        "PORTAL_LOG_LEVEL": "debug",
        "PORTAL_ACCESS_LOG": "true",
        "PORTAL_REDIS_URL": f"redis://portal:{quote(REDIS_PASSWORD, safe='')}@127.0.0.1:9/0",
        "PORTAL_RATE_LIMITS": "on",
        "PORTAL_REFUSAL_HOLD_SECONDS": "0",
        "PORTAL_ONE_TIME_PASSWORDS_PER_TENANT": "20",
        "PORTAL_ONE_TIME_PASSWORDS_PER_TENANT_AND_ADDRESS": "20",
        "PORTAL_ONE_TIME_PASSWORDS_PER_BROWSER": "20",
        **more,
    }


def with_password(url: str, password: str) -> str:
    """The address with a password, unless it has one or is a file; a server that trusts us does not look at it."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite" or address.password:
        return url
    return address.set(password=password, username=address.username or "postgres").render_as_string(hide_password=False)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what happens in another process."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.05)
