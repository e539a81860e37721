"""A run's files as a zip: what is read back, how long it is, what it holds in memory, and what breaks it off."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.blocking import nothing_blocks
from support.databases import settings_for

from app.context import Actor, Context
from app.errors import FileDamagedError
from app.providers.objects import PIECE_BYTES, Objects
from app.runtime import Runtime
from app.services.projects.archive import Archive, ArchivedFile, archive_name, archive_of

RUN = 5
THEN = datetime(2027, 3, 4, 5, 6, 8, tzinfo=UTC)
CONTENTS = {
    "README.md": b"# Shop\n",
    "empty.txt": b"",
    "src/main.py": b"print('hello')\n" * 100,
    "src/große Dateien/größe.bin": bytes(range(256)) * 3000,
    "文档/说明 📦.md": b"x" * PIECE_BYTES,
    "exact/two.bin": os.urandom(2 * PIECE_BYTES),
    "last/one.bin": os.urandom(2 * PIECE_BYTES + 1),
    "d" * 200 + "/" + "é" * 100: b"long name",
}


@pytest.fixture
async def ctx(tmp_path: Path) -> AsyncIterator[Context]:
    """A process with a store; a call that blocks its event loop fails the test."""
    runtime = Runtime(settings_for(f"sqlite+aiosqlite:///{tmp_path}/portal.db", tmp_path))
    with nothing_blocks():
        yield Context(runtime, Actor("tenant", "Acme"))
    await runtime.close()


async def stored(ctx: Context, contents: dict[str, bytes], at: datetime = THEN) -> list[ArchivedFile]:
    """The manifest of these files, once they are stored."""
    return [
        ArchivedFile(path, await ctx.runtime.artifacts.put(RUN, content), len(content), at)
        for path, content in contents.items()
    ]


def archive(ctx: Context, files: list[ArchivedFile]) -> Archive:
    return archive_of(ctx, RUN, files, project_id="shop", client_name="Acme")


async def whole(made: Archive) -> bytes:
    return b"".join([part async for part in made.parts])


def read_back(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_an_archive_has_every_file_as_it_is_and_the_length_that_was_said(ctx: Context) -> None:
    made = archive(ctx, await stored(ctx, CONTENTS))

    content = await whole(made)

    assert read_back(content) == CONTENTS
    assert made.size == len(content)
    assert made.file_name == "Acme-shop.zip"


@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip here")
async def test_another_program_finds_it_sound(ctx: Context, tmp_path: Path) -> None:
    content = await whole(archive(ctx, await stored(ctx, CONTENTS)))
    place = tmp_path / "files.zip"

    def tested() -> subprocess.CompletedProcess[bytes]:
        place.write_bytes(content)
        return subprocess.run(["unzip", "-t", str(place)], capture_output=True, check=False)

    told = await asyncio.to_thread(tested)

    assert told.returncode == 0, told.stdout + told.stderr
    assert b"No errors detected" in told.stdout


async def test_members_are_plain_files_with_their_moment_in_utc(ctx: Context) -> None:
    files = await stored(ctx, {"a": b"a"}, THEN.astimezone(timezone(timedelta(hours=9))))
    files += await stored(ctx, {"ancient": b"b"}, datetime(1970, 1, 1, tzinfo=UTC))
    files += await stored(ctx, {"far": b"c"}, datetime(2200, 1, 1, tzinfo=UTC))

    with zipfile.ZipFile(io.BytesIO(await whole(archive(ctx, files)))) as read:
        members = {member.filename: member for member in read.infolist()}

    assert {member.external_attr >> 16 for member in members.values()} == {stat.S_IFREG | 0o644}
    assert members["a"].date_time == (2027, 3, 4, 5, 6, 8)
    assert (members["ancient"].date_time[0], members["far"].date_time[0]) == (1980, 2038)
    # Whoever reads from the beginning knows a member's length before its content.
    assert not any(member.flag_bits & 0x08 for member in members.values())


async def test_the_same_files_make_the_same_archive(ctx: Context) -> None:
    files = await stored(ctx, CONTENTS)

    assert await whole(archive(ctx, files)) == await whole(archive(ctx, files[::-1]))


async def test_a_run_without_files_is_an_empty_archive(ctx: Context) -> None:
    made = archive(ctx, [])

    content = await whole(made)

    assert read_back(content) == {}
    assert made.size == len(content)


async def test_what_is_not_for_the_tenant_is_left_out(ctx: Context) -> None:
    made = archive(ctx, await stored(ctx, {"main.py": b"x", ".env": b"KEY=1", ".git/config": b"x", "run.log": b"x"}))

    content = await whole(made)

    assert list(read_back(content)) == ["main.py"]
    assert made.size == len(content)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\b", "a\x00b", "a" * 70_000])
async def test_a_path_that_would_leave_the_folder_is_never_archived(ctx: Context, path: str) -> None:
    """Nothing stores one; whatever has been done to the manifest, it does not get out."""
    with pytest.raises(ValueError, match="path"):
        archive(ctx, await stored(ctx, {path: b"x"}))


@pytest.mark.parametrize("size", [10, 3 * PIECE_BYTES])
@pytest.mark.parametrize("damage", ["missing", "changed", "shorter"])
async def test_a_missing_or_damaged_file_breaks_the_archive_off(
    ctx: Context, tmp_path: Path, damage: str, size: int
) -> None:
    content = os.urandom(size)
    files = await stored(ctx, {"a": b"first", "b": content, "c": b"last"})
    path = tmp_path / "artifacts" / "runs" / str(RUN) / hashlib.sha256(content).hexdigest()
    changes = {"missing": path.unlink, "changed": lambda: path.write_bytes(b"x" * size)}
    await asyncio.to_thread(changes.get(damage, lambda: os.truncate(path, size - 1)))
    made, sent = archive(ctx, files), bytearray()

    async def send() -> None:
        async for part in made.parts:
            sent.extend(part)

    with pytest.raises(FileDamagedError):
        await send()

    assert len(sent) < made.size
    assert content[:8] not in sent
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(sent))


async def test_a_hundred_megabytes_pass_through_a_few_pieces(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {f"{number}.bin": bytes([number]) * 10_000_000 for number in range(10)}
    files = await stored(ctx, contents)
    contents.clear()
    ahead = most_ahead = sent = 0
    read = Objects._piece

    def counted(self: Objects, *place: object) -> bytes:
        nonlocal ahead, most_ahead
        piece = read(self, *place)  # type: ignore[arg-type]
        ahead += len(piece)
        most_ahead = max(most_ahead, ahead)
        return piece

    monkeypatch.setattr(Objects, "_piece", counted)
    made = archive(ctx, files)
    tracemalloc.start()
    try:
        async for part in made.parts:
            sent += len(part)
            # Each file is read twice, first for its checksum.
            ahead = 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sent == made.size > 100_000_000
    assert peak < 8 * PIECE_BYTES
    # Between two parts no more is read than one file for its checksum, and a piece.
    assert most_ahead <= 10_000_000 + 2 * PIECE_BYTES


@pytest.mark.parametrize(
    ("client_name", "file_name"),
    [
        ("Acme", "Acme-p-1.zip"),
        ("Acme & Söhne, Ltd.", "Acme  Söhne Ltd-p-1.zip"),
        ("a_b-c 9", "a_b-c 9-p-1.zip"),
        ("株式会社", "株式会社-p-1.zip"),
        ("हिन्दी", "हिन्दी-p-1.zip"),
        ("../../etc/passwd", "etcpasswd-p-1.zip"),
        ('"; rm -rf\r\nX: y', "rm -rfX y-p-1.zip"),
        ("\u202egnp.exe", "gnpexe-p-1.zip"),
        ("x" * 300, "x" * 100 + "-p-1.zip"),
        ("...", "p-1-p-1.zip"),
        ("", "p-1-p-1.zip"),
        (None, "p-1-p-1.zip"),
    ],
)
def test_the_name_has_what_is_safe_of_the_clients_name(client_name: str | None, file_name: str) -> None:
    assert archive_name("p-1", client_name) == file_name
