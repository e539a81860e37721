"""Files of runs in a folder and at S3: stored once, read as they were stored, deleted in pieces."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from structlog.testing import CapturingLogger
from support.blocking import nothing_blocks
from support.databases import settings_for
from support.s3 import S3, s3_server
from support.smtp import free_port

from app.errors import FileDamagedError, FilesUnavailableError, SettingsError
from app.providers import artifacts as stores
from app.providers import objects
from app.providers.artifacts import Artifacts
from app.providers.objects import PIECE_BYTES
from app.settings import Settings

NOWHERE = "sqlite+aiosqlite:////nowhere/portal.db"
RUN = 41
HELLO = b"print('hello')\n"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Store:
    """A store, and what the portal itself never does with one."""

    artifacts: Artifacts

    async def overwrite(self, key: str, content: bytes) -> None:
        """Damage an object."""
        await self.artifacts.in_thread(lambda objects: obstore.put(objects._store, key, content))

    async def listed(self, run_id: int) -> dict[str, int]:
        """The files that it has of a run, with their sizes."""
        return {found.sha256: found.size async for page in self.artifacts.list(run_id) for found in page}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    """A store of each kind; a call of it that blocks the event loop fails the test."""
    url = ""
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{s3.new_bucket()}/of the portal"
    made = Store(Artifacts(settings_for(NOWHERE, tmp_path, artifacts_url=url)))
    with nothing_blocks():
        yield made
    made.artifacts.close()


def at_s3(s3: S3, folder: Path, monkeypatch: pytest.MonkeyPatch, bucket: str, **environment: str) -> Artifacts:
    for name, value in (s3.environment | environment).items():
        monkeypatch.setenv(name, value)
    return Artifacts(settings_for(NOWHERE, folder, artifacts_url=f"s3://{bucket}"))


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 17])
async def test_a_file_comes_back_as_it_was_stored(store: Store, size: int) -> None:
    content = os.urandom(size)

    sha256 = await store.artifacts.put(RUN, content)

    assert sha256 == digest(content)
    assert await store.artifacts.get(RUN, sha256, size) == content
    pieces = [piece async for piece in store.artifacts.stream(RUN, sha256, size)]
    assert b"".join(pieces) == content
    assert max(map(len, pieces), default=0) <= PIECE_BYTES


async def test_the_same_content_is_stored_once_however_many_store_it(store: Store) -> None:
    stored = await asyncio.gather(*(store.artifacts.put(RUN, HELLO) for _ in range(20)))

    assert set(stored) == {digest(HELLO)}
    assert await store.listed(RUN) == {digest(HELLO): len(HELLO)}


async def test_runs_share_nothing(store: Store) -> None:
    await store.artifacts.put(4, HELLO)
    await store.artifacts.put(41, b"other")

    assert await store.listed(4) == {digest(HELLO): len(HELLO)}
    assert await store.artifacts.delete_run(4) == 1
    assert await store.listed(41) == {digest(b"other"): 5}
    with pytest.raises(FileDamagedError):
        await store.artifacts.get(41, digest(HELLO), len(HELLO))


DAMAGES = {"another": lambda size: b"x" * size, "shorter": lambda size: b"x" * (size // 2), "empty": lambda _: b""}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("size", [100, 2 * PIECE_BYTES])
async def test_a_damaged_file_is_never_taken_for_the_stored_one(store: Store, damage: str, size: int) -> None:
    content = os.urandom(size)
    sha256 = await store.artifacts.put(RUN, content)
    await store.overwrite(f"runs/{RUN}/{sha256}", DAMAGES[damage](size))

    with pytest.raises(FileDamagedError):
        await store.artifacts.get(RUN, sha256, size)
    seen = []
    with pytest.raises(FileDamagedError):
        seen += [piece async for piece in store.artifacts.stream(RUN, sha256, size)]

    # The whole length is never there to be taken for the file.
    assert sum(map(len, seen)) < size
    # Stored again, it is whole again.
    await store.artifacts.put(RUN, content)
    assert await store.artifacts.get(RUN, sha256, size) == content


async def test_a_file_that_is_not_there_or_has_another_size_is_damaged(store: Store) -> None:
    sha256 = await store.artifacts.put(RUN, HELLO)

    for asked, size in [(digest(b"never stored"), 12), (sha256, 3), (sha256, 10**12), (sha256, 0), (digest(b""), 5)]:
        with pytest.raises(FileDamagedError):
            await store.artifacts.get(RUN, asked, size)
        with pytest.raises(FileDamagedError):
            [piece async for piece in store.artifacts.stream(RUN, asked, size)]


async def test_a_run_is_deleted_in_pieces_and_may_be_deleted_again(store: Store) -> None:
    for number in range(7):
        await store.artifacts.put(RUN, b"%d" % number)

    first = await store.artifacts.delete_run(RUN, 3)

    assert (first, len(await store.listed(RUN))) == (3, 4)
    # Two at once, as when one was thought dead.
    await asyncio.gather(store.artifacts.delete_run(RUN, 3), store.artifacts.delete_run(RUN, 3))
    while await store.artifacts.delete_run(RUN, 3):
        pass
    assert await store.listed(RUN) == {}
    assert await store.artifacts.delete_run(RUN) == 0
    assert await store.artifacts.delete_run(RUN + 1) == 0


async def test_single_files_are_deleted_whether_they_are_there_or_not(store: Store) -> None:
    kept, gone = await store.artifacts.put(RUN, HELLO), await store.artifacts.put(RUN, b"unnamed")

    await store.artifacts.delete(RUN, [digest(b"never stored"), gone, digest(b"nor this")])

    assert await store.listed(RUN) == {kept: len(HELLO)}


async def test_a_long_list_comes_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LISTED_AT_ONCE", 2)
    stored = [await store.artifacts.put(RUN, b"%d" % number) for number in range(5)]

    pages = [page async for page in store.artifacts.list(RUN)]

    assert sorted(found.sha256 for page in pages for found in page) == sorted(stored)
    assert max(map(len, pages)) <= 2


async def test_the_store_is_checked_by_using_it(store: Store) -> None:
    await store.artifacts.check()

    assert await store.listed(0) == {}


@pytest.mark.parametrize("name", ["", "..", "/etc/passwd", "A" * 64, "0" * 63, "0" * 63 + "/", "../" * 21 + "0"])
async def test_only_a_digest_names_a_file(store: Store, name: str) -> None:
    for asked in (store.artifacts.get(RUN, name, 1), store.artifacts.delete(RUN, [name])):
        with pytest.raises(ValueError, match="SHA-256"):
            await asked


async def test_in_a_folder_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Whatever the mask of the process is."""
    mask = os.umask(0)
    try:
        artifacts = Artifacts(settings_for(NOWHERE, tmp_path))
        sha256 = await artifacts.put(RUN, HELLO)
    finally:
        os.umask(mask)

    paths = tmp_path.rglob("*")  # noqa: ASYNC240 - nobody waits
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert modes == {"artifacts": 0o700, "runs": 0o700, str(RUN): 0o700, sha256: 0o600}
    artifacts.close()


async def test_a_file_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content, its name, and the name of its run's folder."""
    flushed: list[str] = []
    monkeypatch.setattr(objects, "_flush", lambda path: flushed.append(str(path)))
    artifacts = Artifacts(settings_for(NOWHERE, tmp_path))

    sha256 = await artifacts.put(RUN, HELLO)

    runs = tmp_path / "artifacts" / "runs"
    assert flushed[-3:] == [str(runs / str(RUN) / sha256), str(runs / str(RUN)), str(runs)]
    artifacts.close()


async def test_what_a_killed_writer_left_is_not_listed_and_goes_with_the_run(tmp_path: Path) -> None:
    artifacts = Artifacts(settings_for(NOWHERE, tmp_path))
    sha256 = await artifacts.put(RUN, HELLO)
    folder = tmp_path / "artifacts" / "runs" / str(RUN)
    (folder / f"{digest(b'half')}#1").write_bytes(b"ha")

    assert [found.sha256 async for page in artifacts.list(RUN) for found in page] == [sha256]
    while await artifacts.delete_run(RUN):
        pass

    assert not folder.exists()
    artifacts.close()


@pytest.mark.parametrize("url", ["", "file://{}/elsewhere%20here/deep"])
async def test_the_folder_is_that_of_the_settings(tmp_path: Path, url: str) -> None:
    artifacts = Artifacts(settings_for(NOWHERE, tmp_path, artifacts_url=url.format(tmp_path)))

    sha256 = await artifacts.put(RUN, HELLO)

    root = tmp_path / "elsewhere here" / "deep" if url else tmp_path / "artifacts"
    assert (root / "runs" / str(RUN) / sha256).read_bytes() == HELLO
    artifacts.close()


async def test_a_store_that_does_not_answer_is_told_as_such(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = at_s3(s3, tmp_path, monkeypatch, "files", AWS_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(objects, "RETRIES", 0)

    # Whatever level of the log an earlier test has set.
    logged = CapturingLogger()
    monkeypatch.setattr(stores, "log", logged)
    for asked in (
        away.put(RUN, HELLO),
        away.get(RUN, digest(HELLO), len(HELLO)),
        anext(away.stream(RUN, digest(HELLO), len(HELLO))),
        anext(away.list(RUN)),
        away.delete(RUN, [digest(HELLO)]),
        away.delete_run(RUN),
        away.check(),
    ):
        with pytest.raises(FilesUnavailableError) as told:
            await asked
        # What it is that does not answer is for the log.
        assert "127.0.0.1" not in str(told.value)
    away.close()
    assert {call.args for call in logged.calls} == {("files_unavailable",)}
    assert all("127.0.0.1" in str(call.kwargs) for call in logged.calls)


async def test_a_bucket_that_is_not_there_and_a_folder_that_cannot_be_made(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = Artifacts(settings_for(NOWHERE, tmp_path, artifacts_url=f"file://{tmp_path}/file/artifacts"))
    no_bucket = at_s3(s3, tmp_path, monkeypatch, "no-such-bucket")

    for artifacts in (blocked, no_bucket):
        with pytest.raises(FilesUnavailableError):
            await artifacts.put(RUN, HELLO)
        artifacts.close()


async def test_a_store_without_conditions_is_written_all_the_same(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = at_s3(s3, tmp_path, monkeypatch, s3.new_bucket(), AWS_CONDITIONAL_PUT="disabled")

    stored = [await artifacts.put(RUN, HELLO) for _ in range(2)]

    assert await artifacts.get(RUN, stored[0], len(HELLO)) == HELLO
    assert stored[0] == stored[1]
    artifacts.close()


async def test_what_waits_is_not_begun_after_the_end(tmp_path: Path) -> None:
    artifacts = Artifacts(settings_for(NOWHERE, tmp_path))
    await artifacts.put(RUN, HELLO)

    artifacts.close()

    with pytest.raises(RuntimeError, match="shutdown"):
        await artifacts.put(RUN, b"too late")


def test_a_short_process_ends_as_it_should(tmp_path: Path) -> None:
    """The library's own coroutines abort every third one, when a thread of theirs still wants the interpreter."""
    program = (
        "import asyncio, sys; from app.settings import load_settings; from app.providers.artifacts import Artifacts;"
        " asyncio.run(Artifacts(load_settings(state_dir=sys.argv[1])).check())"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(4)]

    assert [process.wait() for process in running] == [0] * 4


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "bucket/folder",
        "ftp://host/folder",
        "file://host/folder",
        "file:///",
        "https://bucket.example.com/",
        "s3://key:password@bucket/folder",
        "s3://bucket/folder?endpoint=http://elsewhere",
        "s3://[bucket/folder",
    ],
)
def test_an_address_that_is_no_store_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_for(NOWHERE, tmp_path, artifacts_url=url)

    assert refused.value.values["key"] == "artifacts_url"
    assert "password@" not in str(refused.value)


def test_settings_keep_a_run_within_what_an_archive_can_hold() -> None:
    fields = Settings.model_fields

    bounds = [fields[name].metadata[-1].le for name in ("run_max_bytes", "run_max_files")]
    longest = bounds[1] * (2 * 1024 + 200)

    assert bounds[0] + longest < 2**32
    assert bounds[1] < 2**16
