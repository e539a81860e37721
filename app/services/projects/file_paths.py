"""The rules of a run's files, all pure: which paths they may have, how many and how large, and which are downloaded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from app.settings import Settings

MAX_PATH_BYTES: Final = 1024
MAX_SEGMENT_BYTES: Final = 255
# Of a path that is refused, so much is told.
TOLD_CHARACTERS: Final = 60

# What Windows allows in no name, the separator of its paths, and the colon of its drives and of streams beside a file.
_RESERVED = re.compile(r'[\\:<>"|?*]')
# Control characters, other line ends, halves of characters, and what turns the direction in which a name is read.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# On Windows these are devices, in every folder and whatever stands behind a dot.
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{device}{number}" for device in ("COM", "LPT") for number in "0123456789¹²³"}
)

_LOGS_OF_RUNS = frozenset({"execution_stdout.log", "execution_stderr.log"})
_LEFT_OUT_ENDINGS = (".log", ".env", ".db", ".sqlite", ".sqlite3", ".tmp", ".bak", ".pyc")
_LEFT_OUT_START = ".env."
_CACHE = "__pycache__"


class FileLimits(NamedTuple):
    """The most that a run may have: bytes of one file, bytes of all files, and files."""

    file_bytes: int
    run_bytes: int
    run_files: int

    @classmethod
    def of(cls, settings: Settings) -> FileLimits:
        """The limits of an installation."""
        return cls(settings.run_file_max_bytes, settings.run_max_bytes, settings.run_max_files)


def wrong_path(path: str) -> str | None:
    """Why no file of a run may have this path, in a sentence that names it; None if it may.

    A path is relative, its segments are separated by ``/``, and it means the same on every system where the files may
    be unpacked.
    """
    if fault := _fault_of_whole(path):
        return f"The path {told(path)} {fault}."
    for segment in path.split("/"):
        if fault := _fault_of_segment(segment):
            return f"The path {told(path)} {fault}."
    return None


def judge_files(existing: Mapping[str, int], written: Mapping[str, bytes | int], limits: FileLimits) -> str | None:
    """Why a run that has these files may not write those, in a sentence that names the path; None if it may.

    ``existing`` has the size of each file by its path; ``written`` the content or the size, and what has a path that
    exists replaces it. Nothing is to be written if anything is refused.
    """
    sizes = {path: item if isinstance(item, int) else len(item) for path, item in written.items()}
    for path, size in sizes.items():
        if reason := wrong_path(path):
            return reason
        if size > limits.file_bytes:
            return f"The file {told(path)} has {size:,} bytes; at most {limits.file_bytes:,} are allowed."
    after = {**existing, **sizes}
    if len(after) > limits.run_files:
        return f"The run would have {len(after):,} files; at most {limits.run_files:,} are allowed."
    if (total := sum(after.values())) > limits.run_bytes:
        return f"The files of the run would have {total:,} bytes; at most {limits.run_bytes:,} are allowed."
    return _collision(after)


def is_downloaded(path: str) -> bool:
    """Whether a file is part of what its tenant downloads: no logs, secrets, databases, remains or hidden folders.

    Compared are whole segments and the ends of names, in any case; a name that merely contains ``.env`` stays.
    """
    *folders, name = path.casefold().split("/")
    if any(folder.startswith(".") or folder == _CACHE for folder in folders):
        return False
    return not (name in _LOGS_OF_RUNS or name.startswith(_LEFT_OUT_START) or name.endswith(_LEFT_OUT_ENDINGS))


def told(path: str) -> str:
    """A path as a message shows it: quoted, shortened, and each character that cannot be seen written as its number."""
    return repr(path if len(path) <= TOLD_CHARACTERS else f"{path[:TOLD_CHARACTERS]}…")


def _fault_of_whole(path: str) -> str | None:  # noqa: PLR0911 - one a rule
    # Its length comes first: what follows looks at each character.
    if len(path) > MAX_PATH_BYTES or len(path.encode(errors="surrogatepass")) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES:,} bytes"
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute; begin with the name of a folder or a file"
    if any(unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _TURNING for character in path):
        return "has a control character or another one that cannot be seen"
    if reserved := _RESERVED.search(path):
        return f"has the character {reserved[0]} that not every system allows; folders are separated by /"
    if not unicodedata.is_normalized("NFC", path):
        return "is not in Unicode's normal form NFC"
    return None


def _fault_of_segment(segment: str) -> str | None:
    if not segment:
        return "has an empty segment"
    if segment in {".", ".."}:
        return f"has the segment {segment}"
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        return f"has a segment of more than {MAX_SEGMENT_BYTES} bytes"
    if segment[-1] == "." or segment[-1].isspace():
        return "has a segment that ends with a dot or a blank"
    if segment.partition(".")[0].rstrip().upper() in _DEVICES:
        return f"has the segment {told(segment)}, which is a device on Windows"
    return None


def _collision(paths: Iterable[str]) -> str | None:
    """Two paths that some system takes for one, or a file that would have to be a folder as well."""
    places: dict[str, tuple[str, bool]] = {}
    for path in sorted(paths):
        segments = path.split("/")
        for depth in range(1, len(segments) + 1):
            place, is_file = "/".join(segments[:depth]), depth == len(segments)
            other, other_is_file = places.setdefault(_folded(place), (place, is_file))
            if other_is_file != is_file:
                return f"The path {told(path)} needs {told(place)} as a file and as a folder."
            if other != place:
                return f"The path {told(path)} differs from {told(other)} only in upper and lower case."
    return None


def _folded(text: str) -> str:
    """The same for all texts that a system without case takes for one."""
    return unicodedata.normalize("NFC", text.casefold())
