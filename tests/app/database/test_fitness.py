"""A server that cannot be the portal's is refused at once, with the command that mends it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from support.databases import settings_for
from support.live import live_server

from app.commands.checks import database as examined
from app.database import schema
from app.errors import DatabaseEncodingError, WorkForbiddenError

pytestmark = pytest.mark.postgresql_only("a file belongs to who may write it, and is always in Unicode")


@dataclass(frozen=True)
class Place:
    """A database, and its address for a user who owns nothing but its tables."""

    name: str
    user: str
    owner_url: str
    url: str

    def run(self, *statements: str) -> None:
        asyncio.run(_run(self.owner_url, *statements))


async def _run(address: str, *statements: str) -> None:
    dsn = make_url(address).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def narrow(empty_database: str) -> Iterator[Place]:
    """A database whose user may make tables in it and no schema."""
    user, url = f"narrow_{uuid.uuid4().hex[:8]}", make_url(empty_database)
    own = url.set(username=user, password="narrow").render_as_string(hide_password=False)
    place = Place(str(url.database), user, empty_database, own)
    place.run(f"CREATE ROLE {user} LOGIN PASSWORD 'narrow'", f"GRANT CREATE ON SCHEMA public TO {user}")
    yield place
    place.run(f"DROP OWNED BY {user}", f"DROP ROLE {user}")


async def test_a_user_who_may_make_no_schema_is_refused_where_work_is_done(narrow: Place, tmp_path: Path) -> None:
    settings = settings_for(narrow.url, tmp_path)
    grant = f'GRANT CREATE ON DATABASE "{narrow.name}" TO "{narrow.user}"'

    with pytest.raises(WorkForbiddenError) as refused:
        await schema.upgrade(settings)
    told = [result async for result in examined(settings)][-1]

    assert grant in refused.value.detail
    assert (told.check, told.status) == ("work", "failure")
    assert grant in told.detail
    # A host that answers alone needs no schema of the engine's.
    await schema.upgrade(settings_for(narrow.url, tmp_path, work_processes="elsewhere"))
    await _run(narrow.owner_url, grant)
    await schema.check_current(settings)


async def test_a_schema_that_is_there_needs_the_use_of_its_tables(narrow: Place, tmp_path: Path) -> None:
    settings = settings_for(narrow.url, tmp_path)
    await _run(narrow.owner_url, "CREATE SCHEMA dbos", f"GRANT USAGE ON SCHEMA dbos TO {narrow.user}")
    with pytest.raises(WorkForbiddenError):
        await schema.current_revision(settings)
    await _run(narrow.owner_url, f"GRANT CREATE ON SCHEMA dbos TO {narrow.user}")
    await schema.current_revision(settings)
    await _run(narrow.owner_url, "CREATE TABLE dbos.of_another (id int)")
    with pytest.raises(WorkForbiddenError):
        await schema.current_revision(settings)
    await _run(narrow.owner_url, f"GRANT ALL ON ALL TABLES IN SCHEMA dbos TO {narrow.user}")
    await schema.current_revision(settings)


async def test_a_worker_whose_work_can_never_begin_is_not_ready(narrow: Place, tmp_path: Path) -> None:
    revoked = f'REVOKE CREATE ON DATABASE "{narrow.name}" FROM "{narrow.user}"'
    await _run(narrow.owner_url, f'GRANT CREATE ON DATABASE "{narrow.name}" TO "{narrow.user}"')
    await schema.upgrade(settings_for(narrow.url, tmp_path))
    async with live_server(settings_for(narrow.url, tmp_path)) as live:
        before = await live.http.get("/readyz")
        await _run(narrow.owner_url, revoked)
        after = await live.http.get("/readyz")

    assert (before.status_code, after.status_code, after.json()["errorCode"]) == (200, 503, "work_forbidden")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_name_is_refused(
    empty_database: str, tmp_path: Path, encoding: str
) -> None:
    name = f"portal_{uuid.uuid4().hex[:12]}"
    await _run(
        empty_database,
        f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    )
    settings = settings_for(make_url(empty_database).set(database=name).render_as_string(False), tmp_path)
    try:
        with pytest.raises(DatabaseEncodingError) as refused:
            await schema.upgrade(settings)
        told = [result async for result in examined(settings)][-1]
    finally:
        await _run(empty_database, f"DROP DATABASE {name} WITH (FORCE)")

    assert f"keeps text as {encoding}" in refused.value.detail
    assert "createdb --encoding=UTF8 --template=template0" in refused.value.detail
    assert (told.check, told.status, told.detail) == ("database", "failure", refused.value.detail)
