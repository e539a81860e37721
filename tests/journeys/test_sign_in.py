"""A tenant's sign-in over two real workers: mail by the durable engine, guesses counted exactly, no secret anywhere."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from support.processes import FULL_PROOF, ServerProcess, served
from support.sign_in import GENERATE, VERIFY, code_in, wrong

from app.services.tenants.onboarding import ensure_tenant
from sql.tables import deliveries, metadata, rate_windows, tenant_sessions

pytestmark = pytest.mark.processes
GUESSES = 1000 if FULL_PROOF else 80
PATIENCE = 60.0
# More than the address has, so that only what a tenant and a code have counts.
LIMITS = {
    "PORTAL_RATE_LIMITS": "on",
    "PORTAL_ONE_TIME_PASSWORDS_PER_ADDRESS": "1000",
    "PORTAL_ONE_TIME_PASSWORD_GUESSES_PER_ADDRESS": "2000",
}


async def new_code(server: ServerProcess, slug: str) -> str:
    """Ask for a code and read the mail."""
    known = len(await mailbox(server))
    assert (await server.http.post(GENERATE, json={"tenant_slug": slug})).status_code == 200
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE:
        if len(messages := await mailbox(server)) > known:
            return code_in(messages[0]["text"])
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail: {server.log.read_text()[-2000:]}")


async def mailbox(server: ServerProcess) -> list[dict[str, str]]:
    answer = await server.http.get("/dev/mailbox", headers={"accept": "application/json"})
    return list(answer.json()["messages"])


async def everything_stored(server: ServerProcess, folder: Path) -> str:
    """The texts and bytes of every table of ours and of the engine."""
    found: list[Any] = []
    async with server.ctx.read() as conn:
        for table in metadata.tables.values():
            found += await conn.rows(select(table))
        if not server.runtime.db.is_sqlite:
            named = "select table_name from information_schema.tables where table_schema = 'dbos'"
            for row in await conn.rows(text(named)):
                found += await conn.rows(text(f'select * from dbos."{row[0]}"'))
    if server.runtime.db.is_sqlite:
        with sqlite3.connect(folder / "durable.db") as engine:
            for (name,) in list(engine.execute("select name from sqlite_master where type = 'table'")):
                found += list(engine.execute(f'select * from "{name}"'))
        engine.close()
    return "\n".join(str(value) for row in found for value in row if isinstance(value, str | bytes))


async def test_two_workers_count_guesses_and_requests_exactly_and_no_secret_stays(
    database: str, tmp_path: Path
) -> None:
    async with served(database, tmp_path, workers=2, **LIMITS) as server:
        await many_guesses_have_five_tries_and_no_secret_stays(server, tmp_path)
        await parallel_requests_never_pass_the_limit(server)
        # Each mail came by its own errand.
        assert not server.events("errands_swept")


async def many_guesses_have_five_tries_and_no_secret_stays(server: ServerProcess, folder: Path) -> None:
    tenant, _ = await ensure_tenant(server.ctx, name="Guessed", slug="guessed", email="it@example.com")
    code = await new_code(server, "guessed")

    async def guess(given: str) -> int:
        return (await server.http.post(VERIFY, json={"tenant_slug": "guessed", "otp_code": given})).status_code

    guesses = [f"{number:06d}" for number in range(GUESSES) if f"{number:06d}" != code]
    assert Counter(await asyncio.gather(*map(guess, guesses))) == {401: len(guesses)}
    assert await guess(code) == 401
    async with server.ctx.read() as conn:
        # At most five of each window: of a code, of a day from here, and of a day in all; the address has all of them.
        hits = Counter(row.hits for row in await conn.rows(select(rate_windows.c.hits)))
        assert (hits[5], hits[len(guesses) + 1]) == (3, 1)

    second = await new_code(server, "guessed")
    assert await guess(wrong(second)) == 401
    body = {"tenant_slug": "guessed", "otp_code": second}
    answers = await asyncio.gather(*(server.http.post(VERIFY, json=body) for _ in range(2)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 1}
    (token,) = [answer.json()["session_token"] for answer in answers if answer.status_code == 200]
    headers = {"x-session-token": token}
    assert (await server.http.get("/api/tenant/auth/session", headers=headers)).json()["tenant_id"] == tenant.id

    stored, logged = await everything_stored(server, folder), server.log.read_text()
    assert "delivery:" in stored
    for secret in (code, second):
        alone = re.compile(rf"(?<![\d.]){secret}(?!\d)")
        assert not alone.search(stored)
        assert not alone.search(logged)
    assert token not in stored + logged
    assert (await server.http.post("/api/tenant/auth/logout", headers=headers)).status_code == 204
    async with server.ctx.read() as conn:
        assert (await conn.rows(select(func.count()).select_from(tenant_sessions)))[0][0] == 0


async def parallel_requests_never_pass_the_limit(server: ServerProcess) -> None:
    await ensure_tenant(server.ctx, name="Asked", slug="asked", email="it@example.com")
    for slug in ("asked", "nobody-has-this"):
        asked = (server.http.post(GENERATE, json={"tenant_slug": slug}) for _ in range(GUESSES // 4))
        answers = Counter(answer.status_code for answer in await asyncio.gather(*asked))
        assert answers == {200: 3, 429: GUESSES // 4 - 3}

    async def all_ended() -> Counter[tuple[str, str]]:
        async with server.ctx.read() as conn:
            return Counter(map(tuple, await conn.rows(select(deliveries.c.tenant_slug, deliveries.c.state))))

    ended = {("guessed", "sent"): 2, ("asked", "sent"): 3, ("nobody-has-this", "unreachable"): 3}
    async with asyncio.timeout(PATIENCE):
        while await all_ended() != ended:  # noqa: ASYNC110 - what it waits for is in the database
            await asyncio.sleep(0.1)
