"""A run's files as one zip, made while it is sent: its length is known before, and it holds one piece in memory."""

from __future__ import annotations

import stat
import unicodedata
import zlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from app.context import Context
from app.providers.artifacts import Artifacts
from app.services.projects.file_paths import is_downloaded, wrong_path

if TYPE_CHECKING:
    from stream_zip import Method

    from app.providers.objects import Objects

MEDIA_TYPE: Final = "application/zip"
MAX_NAME: Final = 100
# Every member is a file that all may read: there are no links in a run, and none in its archive.
REGULAR_FILE: Final = stat.S_IFREG | 0o644

# The parts of a zip beside names and contents, in bytes: both headers of a member, each with the moment in UTC, and the
# end. Settings keep a run below four gigabytes and 65,535 files, up to where these are the only ones.
_LOCAL_HEADER: Final = 30 + 9
_CENTRAL_HEADER: Final = 46 + 9
_END: Final = 22
# The first and the last moment that both of a member's headers can hold.
_FIRST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2038, 1, 19, tzinfo=UTC)
_NAME_MARKS: Final = frozenset(" -_")


class ArchivedFile(NamedTuple):
    """A file of a run's manifest: where it stands, which content it has, and since when."""

    path: str
    sha256: str
    size: int
    modified_at: datetime


class Archive(NamedTuple):
    """A zip that is made while it is read: its name, its exact length in bytes, and its parts."""

    file_name: str
    size: int
    parts: AsyncGenerator[bytes, None]


def archive_of(
    ctx: Context, run_id: int, files: Iterable[ArchivedFile], *, project_id: str, client_name: str | None
) -> Archive:
    """The zip of those files of a run that its tenant gets, ordered by path, uncompressed.

    The parts raise FilesUnavailableError or FileDamagedError: whoever sends them then breaks the connection. No part of
    a damaged file is among them. Raises ValueError for a path that no file of a run may have.
    """
    members = sorted(files)
    if reason := next(filter(None, (wrong_path(file.path) for file in members)), None):
        raise ValueError(reason)
    members = [file for file in members if is_downloaded(file.path)]
    parts = _parts(ctx.runtime.artifacts, run_id, members)
    return Archive(archive_name(project_id, client_name), _size_of(members), parts)


def archive_name(project_id: str, client_name: str | None) -> str:
    """The name of a download: letters, digits, blanks, ``-`` and ``_`` of the client's name, and the project's id."""
    normal = unicodedata.normalize("NFC", client_name or "")
    # Marks are the vowels of some scripts.
    kept = (
        character
        for character in normal
        if character.isalnum() or character in _NAME_MARKS or unicodedata.category(character)[0] == "M"
    )
    name = "".join(kept).strip()[:MAX_NAME].strip()
    return f"{name or project_id}-{project_id}.zip"


def _size_of(files: Sequence[ArchivedFile]) -> int:
    names = sum(len(file.path.encode()) for file in files)
    return sum(file.size for file in files) + 2 * names + len(files) * (_LOCAL_HEADER + _CENTRAL_HEADER) + _END


async def _parts(artifacts: Artifacts, run_id: int, files: Sequence[ArchivedFile]) -> AsyncGenerator[bytes, None]:
    """The zip in parts; each is made in one of the store's threads, which nobody's slow reading keeps."""
    chunks = await artifacts.in_thread(lambda objects: _zipped(objects, run_id, files))
    while chunk := await artifacts.in_thread(lambda _: next(chunks, b"")):
        yield chunk


def _zipped(objects: Objects, run_id: int, files: Sequence[ArchivedFile]) -> Iterator[bytes]:
    from stream_zip import stream_zip

    from app.providers.objects import PIECE_BYTES

    return iter(stream_zip(_members(objects, run_id, files), chunk_size=PIECE_BYTES))


def _members(
    objects: Objects, run_id: int, files: Sequence[ArchivedFile]
) -> Iterator[tuple[str, datetime, int, Method, Iterable[bytes]]]:
    """Each file with its checksum, which stands before its content: a file of more than one piece is read twice.

    So nothing of a damaged file is sent, and every program that unpacks knows a member's length when it begins.
    """
    from stream_zip import NO_COMPRESSION_32

    from app.providers.objects import PIECE_BYTES

    for file in files:
        checksum, piece = 0, b""
        for piece in objects.pieces(run_id, file.sha256, file.size):
            checksum = zlib.crc32(piece, checksum)
        content = [piece] if file.size <= PIECE_BYTES else objects.pieces(run_id, file.sha256, file.size)
        modified_at = min(max(file.modified_at.astimezone(UTC), _FIRST), _LAST)
        yield file.path, modified_at, REGULAR_FILE, NO_COMPRESSION_32(file.size, checksum), content
