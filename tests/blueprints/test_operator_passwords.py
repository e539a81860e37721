"""Operators' passwords: checked in turn and with the same work, limited by address, and replaced for good."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from httpx2 import Response
from sqlalchemy import func, select
from support.clocks import MovableClock
from support.live import LiveServer, live_server
from support.operators import PASSWORD, browser, form_token, new_operator
from support.rows import change, rows
from support.statements import counted_statements

from app.access.passwords import HASH_BYTES, MEMORY_KIB, SALT_BYTES, TIME_COST
from app.access.permissions import Role
from app.errors import CredentialsInvalidError
from app.services.operators import accounts, local_sign_in, sessions
from app.settings import Settings
from sql.tables import operator_sessions, operators

# Far longer than anything here takes; only a failing test waits for it.
PATIENCE_SECONDS = 30.0


async def session_count(live: LiveServer) -> int:
    ((count,),) = await rows(live, select(func.count()).select_from(operator_sessions))
    return count


class WatchedHasher(PasswordHasher):
    """The hasher of today's costs, which tells what its work was, and may be held up in the middle of it."""

    def __init__(self) -> None:
        super().__init__(TIME_COST, MEMORY_KIB, 1, HASH_BYTES, SALT_BYTES)
        self.verified: list[Parameters] = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - as the library has it
        self.verified.append(extract_parameters(str(hash)))
        return super().verify(hash, password)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.begun.set()
        assert self.may_go_on.wait(PATIENCE_SECONDS), "nothing else happened while a password was hashed"
        return super().hash(password, salt=salt)


async def test_unknown_and_wrong_cost_the_same_work(sanic_client: LiveServer) -> None:
    live, email = sanic_client, await new_operator(sanic_client)
    await accounts.ensure_operator(live.ctx, email="linked@example.com", role=Role.OWNER)
    await _refused(live, "warming-up@example.com")
    live.runtime.passwords._hasher = hasher = WatchedHasher()

    work = []
    for address in (email, "linked@example.com", "nobody@example.com", "nob\x00dy@example.com"):
        with counted_statements(live.runtime.db) as statements:
            await _refused(live, address)
        work.append((list(statements), hasher.verified[:]))
        hasher.verified.clear()

    # The last address no database could hold, so that none is asked for it.
    assert work[0] == work[1] == work[2]
    assert [verified for _, verified in work] == [[hasher._parameters]] * 4


async def _refused(live: LiveServer, email: str) -> None:
    with pytest.raises(CredentialsInvalidError):
        await local_sign_in.sign_in(live.ctx, email=email, password="not the password")


async def test_other_requests_are_answered_while_passwords_are_hashed(sanic_client: LiveServer) -> None:
    passwords = sanic_client.runtime.passwords
    passwords._hasher = hasher = WatchedHasher()
    hashes = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(3)]
    assert await asyncio.to_thread(hasher.begun.wait, PATIENCE_SECONDS)

    answers = [(await sanic_client.http.get("/healthz")).status_code for _ in range(10)]

    assert (answers, [task.done() for task in hashes]) == ([200] * 10, [False] * 3)
    hasher.may_go_on.set()
    assert [await passwords.verify(made, PASSWORD) for made in await asyncio.gather(*hashes)] == [True] * 3


async def test_too_many_passwords_at_once_are_refused(sanic_client: LiveServer) -> None:
    passwords = sanic_client.runtime.passwords
    # What is counted is who waits, not for how long.
    passwords._nobody = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("y")
    answers = await asyncio.gather(*(passwords.verify(None, "x") for _ in range(60)), return_exceptions=True)

    assert Counter(type(answer).__name__ for answer in answers) == {"bool": 40, "OverloadedError": 20}


async def test_an_address_may_try_so_often_only(settings: Settings, clock: MovableClock) -> None:
    async with live_server(settings.model_copy(update={"sign_ins_per_address": 3}), clock) as live:
        email = await new_operator(live)
        async with browser(live) as person:
            answers = [await person.sign_in(email, "not the password") for _ in range(5)]
            assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 600
            assert "Too many requests." in answers[-1].text
            assert (await person.sign_in(email)).status_code == 429
            clock.move(minutes=10, seconds=1)
            assert (await person.sign_in(email)).status_code == 303


async def test_behind_a_proxy_the_holder_of_a_network_is_counted_once(settings: Settings) -> None:
    changes = {"sign_ins_per_address": 2, "proxies_count": 1}
    async with live_server(settings.model_copy(update=changes)) as live, browser(live) as person:
        form = {"form_token": form_token(await person.get("/admin/login")), "email": "x@example.com", "password": "x"}
        statuses = []
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "9.9.9.9, 2001:db8::4"):
            answer = await person.http.post("/auth/local", data=form, headers={"x-forwarded-for": address})
            statuses.append(answer.status_code)

    assert statuses == [401, 401, 429, 401, 429]


@pytest.mark.parametrize("is_known", [True, False])
async def test_an_account_is_tried_so_often_only_from_however_many_addresses(
    settings: Settings, clock: MovableClock, is_known: bool
) -> None:
    changes = {"sign_ins_per_account": 3, "proxies_count": 1}
    async with live_server(settings.model_copy(update=changes), clock) as live, browser(live) as person:
        if is_known:
            await new_operator(live, email="ann@example.com")
        form = {"form_token": form_token(await person.get("/admin/login")), "password": "not the password"}

        async def tried(email: str, place: int) -> Response:
            sent = {"x-forwarded-for": f"192.0.2.{place}"}
            return await person.http.post("/auth/local", data={**form, "email": email}, headers=sent)

        written = ("ann@example.com", "ANN@example.com", " Ann@Example.com ")
        answers = await asyncio.gather(*(tried(written[place % 3], place) for place in range(9)))
        assert Counter(answer.status_code for answer in answers) == {401: 3, 429: 6}
        refused = await tried("ann@example.com", 100)
        assert (refused.status_code, 3500 < int(refused.headers["retry-after"]) <= 3600) == (429, True)
        assert "use a one-time link at once: portal create-operator" in refused.text
        assert (await tried("bob@example.com", 100)).status_code == 401

        link = (await accounts.ensure_operator(live.ctx, email="ann@example.com", role=Role.OWNER)).link_token
        used = await person.send(f"/auth/link/{link}", "/auth/link", token=str(link), password=PASSWORD)
        assert used.status_code == 303
        assert (await person.sign_in("ann@example.com")).status_code == 429
        clock.move(hours=1, seconds=1)
        assert (await person.sign_in("ann@example.com")).status_code == 303


async def test_attempts_at_the_same_moment_never_pass_the_limit(settings: Settings) -> None:
    async with live_server(settings.model_copy(update={"sign_ins_per_address": 4})) as live, browser(live) as person:
        form = {"form_token": form_token(await person.get("/admin/login")), "email": "x@example.com", "password": "x"}
        answers = await asyncio.gather(*(person.http.post("/auth/local", data=form) for _ in range(20)))

    assert Counter(answer.status_code for answer in answers) == {401: 4, 429: 16}


async def test_limits_can_be_lifted_for_load_tests(settings: Settings) -> None:
    lifted = settings.model_copy(update={"sign_ins_per_address": 1, "rate_limits": "off"})
    async with live_server(lifted) as live, browser(live) as person:
        email = await new_operator(live)
        assert [(await person.sign_in(email)).status_code for _ in range(3)] == [303] * 3


async def test_a_password_that_was_hashed_otherwise_is_hashed_anew(sanic_client: LiveServer) -> None:
    email = await new_operator(sanic_client)
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    await change(sanic_client, operators.update().values(password_hash=weak))
    async with browser(sanic_client) as person:
        assert [(await person.sign_in(email)).status_code for _ in range(2)] == [303, 303]
    ((stored,),) = await rows(sanic_client, select(operators.c.password_hash))
    assert stored != weak


async def test_a_password_that_is_replaced_while_it_is_checked_opens_nothing(
    sanic_client: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, email = sanic_client, await new_operator(sanic_client)
    verify = live.runtime.passwords.verify

    async def verify_slowly(stored: str | None, password: str) -> bool:
        is_right = await verify(stored, password)
        await accounts.ensure_operator(live.ctx, email=email, role=Role.OWNER, password="another password of the tests")
        return is_right

    monkeypatch.setattr(live.runtime.passwords, "verify", verify_slowly)
    async with browser(live) as person:
        answer = await person.sign_in(email)

    assert (answer.status_code, person.session, await session_count(live)) == (401, None, 0)


@pytest.mark.postgresql_only("SQLite has one writer: nothing happens at the same moment")
async def test_whoever_sets_a_password_ends_a_session_that_begins_at_that_moment(sanic_client: LiveServer) -> None:
    live, email = sanic_client, await new_operator(sanic_client)
    ((operator_id, stored),) = await rows(live, select(operators.c.id, operators.c.password_hash))
    async with live.ctx.write() as conn:
        begun = await sessions.begin_session(
            conn, live.ctx, operator_id=operator_id, email=email, by="password", checked_hash=stored
        )
        replacing = asyncio.create_task(
            accounts.ensure_operator(live.ctx, email=email, role=Role.OWNER, password="another password of the tests")
        )
        await asyncio.wait({replacing}, timeout=0.5)
        assert begun is not None
    await replacing

    assert await session_count(live) == 0
