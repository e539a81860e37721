"""Paths of a run's files: what is refused and why, what may be written beside what exists, what is downloaded."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.projects.file_paths import (
    MAX_PATH_BYTES,
    FileLimits,
    is_downloaded,
    judge_files,
    told,
    wrong_path,
)
from app.settings import load_settings

ROOM = FileLimits(file_bytes=100, run_bytes=250, run_files=4)

GOOD = [
    "README.md",
    "src/main.py",
    "a/b/c/d/e/f/g",
    ".gitignore",
    ".github/workflows/ci.yml",
    "app/(shop)/[slug]/page.tsx",
    "Übersicht/größe.txt",
    "文档/说明.md",
    "हिन्दी/नमस्ते.txt",
    "emoji/👩‍🚀.txt",
    "with blank/a file.txt",
    " leading/ blank",
    "...hidden/..x",
    "console.log",
    "auxiliary/com10.txt",
    "nul-terminated.c",
    "~/x",
    "$HOME/%2e%2e/x",
    "-rf",
    "a" * 255,
    "é" * 127,
    "/".join(["d" * 127] * 8),
]
BAD = {
    "": "empty",
    "/etc/passwd": "absolute",
    "//host/share": "absolute",
    "..": "segment ..",
    "../x": "segment ..",
    "a/../../etc/passwd": "segment ..",
    "a/..": "segment ..",
    ".": "segment .",
    "./x": "segment .",
    "a/./b": "segment .",
    "a//b": "empty segment",
    "a/": "empty segment",
    "C:/windows/x": "character :",
    "c:x": "character :",
    "file.txt:stream": "character :",
    "a\\b": "character \\",
    "..\\..\\x": "character \\",
    "\\\\host\\share": "character \\",
    "what?.txt": "character ?",
    "a*": "character *",
    'say "hi"': 'character "',
    "a<b": "character <",
    "a|b": "character |",
    "a\x00b": "cannot be seen",
    "a\nb": "cannot be seen",
    "\x1b[31mred": "cannot be seen",
    "a\x7f": "cannot be seen",
    "a\x85b": "cannot be seen",
    "line\u2028end": "cannot be seen",
    "half\ud800": "cannot be seen",
    "cod\u202eexe.py": "cannot be seen",
    "mark\u200f.py": "cannot be seen",
    "con": "device",
    "CON.txt": "device",
    "src/Aux.py": "device",
    "nul.tar.gz": "device",
    "com1/x": "device",
    "LPT9.log": "device",
    "com¹": "device",
    "con .txt": "device",
    "CONIN$": "device",
    "a./b": "dot or a blank",
    "a.": "dot or a blank",
    "...": "dot or a blank",
    "a ": "dot or a blank",
    "a /b": "dot or a blank",
    " ": "dot or a blank",
    "a\u00a0": "dot or a blank",
    "a\u3000/b": "dot or a blank",
    "e\u0301.txt": "NFC",
    "a" * 256: "more than 255 bytes",
    "é" * 128: "more than 255 bytes",
    "a" * 4096: "longer than 1,024 bytes",
    "/".join(["é" * 100] * 6): "longer than 1,024 bytes",
    "x" * 50_000_000: "longer than 1,024 bytes",
}


@pytest.mark.parametrize("path", GOOD)
def test_what_is_the_same_on_every_system_is_allowed(path: str) -> None:
    assert wrong_path(path) is None


@pytest.mark.parametrize(("path", "why"), BAD.items(), ids=lambda value: ascii(value)[:30])
def test_what_is_not_is_refused_and_named(path: str, why: str) -> None:
    reason = wrong_path(path)

    assert reason is not None
    assert why in reason
    assert told(path) in reason
    assert len(reason) < 250
    # It is put into logs and sent to models.
    assert reason.isprintable()


@given(st.text(max_size=40) | st.text(alphabet="./\\aC:~\x00 é", max_size=12))
def test_an_allowed_path_stays_below_the_folder_it_is_put_into(path: str) -> None:
    if wrong_path(path) is None:
        segments = path.split("/")
        assert not {"", ".", ".."} & set(segments)
        assert not set('\\:\x00<>"|?*') & set(path)
        assert len(path.encode()) <= MAX_PATH_BYTES
        assert unicodedata.normalize("NFC", path) == path
        assert segments == [segment.rstrip().rstrip(".") for segment in segments]


COLLISIONS: dict[str, tuple[Mapping[str, int], Mapping[str, bytes | int], str | None]] = {
    "nothing": ({}, {}, None),
    "new beside old": ({"a": 1}, {"b": 1, "c/d": b"x"}, None),
    "replaced": ({"a": 1}, {"a": 2}, None),
    "same name in two folders": ({"a/x": 1}, {"b/x": 1, "x": 1}, None),
    "case": ({"README.md": 1}, {"readme.md": 1}, "only in upper and lower case"),
    "case of what is written": ({}, {"src/A": 1, "src/a": 1}, "only in upper and lower case"),
    "case of a folder": ({"Src/a": 1}, {"src/b": 1}, "only in upper and lower case"),
    "case beyond ascii": ({"straße": 1}, {"STRASSE": 1}, "only in upper and lower case"),
    "case with marks": ({"É": 1}, {"é": 1}, "only in upper and lower case"),
    "a file that is a folder": ({"a": 1}, {"a/b": 1}, "as a file and as a folder"),
    "a folder that is a file": ({"a/b/c": 1}, {"a/b": 1}, "as a file and as a folder"),
    "a folder in another case": ({"a/b": 1}, {"A": 1}, "as a file and as a folder"),
    "hostile": ({}, {"fine": 1, "../x": 1}, "segment .."),
    "largest file": ({}, {"a": 100, "b": b"x" * 100}, None),
    "too large": ({}, {"a": 101}, "has 101 bytes; at most 100"),
    "too large as bytes": ({}, {"a": b"x" * 101}, "has 101 bytes; at most 100"),
    "full": ({"a": 100, "b": 100}, {"c": 50}, None),
    "overfull": ({"a": 100, "b": 100}, {"c": 51}, "would have 251 bytes; at most 250"),
    "replaced by less": ({"a": 100, "b": 100, "c": 50}, {"c": 49}, None),
    "as many as may be": ({"a": 1, "b": 1}, {"c": 1, "d": 1}, None),
    "too many": ({"a": 1, "b": 1}, {"c": 1, "d": 1, "e": 1}, "would have 5 files; at most 4"),
    "many, replaced": ({"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 2, "d": 2}, None),
}


@pytest.mark.parametrize("case", COLLISIONS)
def test_what_is_written_is_judged_beside_what_exists(case: str) -> None:
    existing, written, why = COLLISIONS[case]

    reason = judge_files(existing, written, ROOM)

    assert (reason is None) == (why is None)
    assert (why or "") in (reason or "")


def test_the_reason_is_the_same_whatever_the_order() -> None:
    assert judge_files({}, {"a": 1, "A": 1}, ROOM) == judge_files({}, {"A": 1, "a": 1}, ROOM)


def test_limits_are_settings() -> None:
    assert FileLimits.of(load_settings(secret_key="x" * 40)) == (10 * 2**20, 200 * 2**20, 5000)


DOWNLOADED = [
    "README.md",
    "src/main.py",
    ".gitignore",
    ".dockerignore",
    "docs/my.environment.md",
    "x.env.example.md",
    "environment/prod.txt",
    "catalog",
    "src/log.py",
    "logs/readme.md",
    "data.db.md",
    "app.log/readme.md",
    "venv/x.py",
    "a.pyc.txt",
    "pycache/x",
]
LEFT_OUT = [
    "execution_stdout.log",
    "sub/execution_stderr.log",
    ".env",
    "deploy/.env",
    ".env.local",
    ".env.production",
    "config/.ENV.Local",
    "prod.env",
    "server.log",
    "a/b/SERVER.LOG",
    "app.db",
    "app.sqlite",
    "app.sqlite3",
    "x.tmp",
    "x.bak",
    "module.pyc",
    ".git/config",
    ".github/workflows/ci.yml",
    "sub/.llm_cache/answer.json",
    ".research_cache/x",
    ".coverage_reports/index.html",
    "__pycache__/module.txt",
    "src/__pycache__/module.cpython-311.txt",
]


@pytest.mark.parametrize("path", DOWNLOADED)
def test_what_belongs_to_the_product_is_downloaded(path: str) -> None:
    assert is_downloaded(path)


@pytest.mark.parametrize("path", LEFT_OUT)
def test_logs_secrets_databases_and_hidden_folders_are_left_out(path: str) -> None:
    assert not is_downloaded(path)
