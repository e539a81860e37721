"""Parses files of projects, in a process of its own with limits; ``inspection`` starts it.

It reads the files from its standard input, and writes a line of JSON before each file and one after it. So whoever
reads knows with which file it has died.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import marshal
import resource
import signal
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import NamedTuple, NoReturn
from xml.etree import ElementTree as ET

from app.agents import suspicion

MAX_BYTES = 1_000_000
MAX_MESSAGES = 10
MAX_MESSAGE = 300
MEMORY = 1 << 30
CPU_SECONDS = 30
FILE_SECONDS = 5.0


class Reading(NamedTuple):
    """What a parser says of a file: what is wrong with it, and what is suspicious in it."""

    problems: Iterable[str] = ()
    findings: Iterable[str] = ()


class _TooSlowError(Exception):
    """The time for one file is up."""


def _python(text: str) -> Reading:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
        compile(tree, "file", "exec", dont_inherit=True)
    return Reading(findings=suspicion.in_python(tree))


def _json(text: str) -> Reading:
    json.loads(text)
    return Reading()


def _json_lines(text: str) -> Reading:
    for line in text.splitlines():
        if line.strip():
            json.loads(line)
    return Reading()


def _toml(text: str) -> Reading:
    tomllib.loads(text)
    return Reading()


def _yaml(text: str) -> Reading:
    """Nodes are composed and no objects made of them, so that aliases of aliases stay small."""
    import yaml

    for _ in yaml.compose_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        pass
    return Reading()


def _html(text: str) -> Reading:
    from html.parser import HTMLParser

    from justhtml import JustHTML

    findings: list[str] = []

    class Elements(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            findings.extend(suspicion.in_element(tag, dict(attrs), self.getpos()[0]))

    errors = JustHTML(text, collect_errors=True, sanitize=False, max_errors=MAX_MESSAGES).errors
    Elements().feed(text)
    return Reading([f"line {error.line}: {error.code.replace('-', ' ')}" for error in errors], findings)


def _xml(text: str) -> Reading:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return Reading(["it declares a document type, which may make a small file a huge one"])
    ET.fromstring(text)  # noqa: S314
    return Reading()


def _sql(text: str) -> Reading:
    import sqlglot
    from sqlglot import exp

    known = (exp.Query, exp.DDL, exp.DML, exp.Drop, exp.Alter, exp.Pragma, exp.Transaction, exp.Commit, exp.Rollback)
    trees = [tree for tree in sqlglot.parse(text) if tree is not None]
    # The parser takes words that it does not know for a name with an alias.
    return Reading(
        [
            f"{type(tree).__name__.lower()} is no statement: {tree.sql()[:80]}"
            for tree in trees
            if not isinstance(tree, known)
        ]
    )


def _csv(text: str) -> Reading:
    widths = {len(row) for row in csv.reader(io.StringIO(text), strict=True) if row}
    return Reading(["its rows have different numbers of cells"] if len(widths) > 1 else [])


def _text(text: str) -> Reading:
    return Reading(["it has a null character"] if "\0" in text else [])


PARSERS: dict[str, Callable[[str], Reading]] = {
    ".css": _text,
    ".csv": _csv,
    ".html": _html,
    ".js": _text,
    ".json": _json,
    ".jsonl": _json_lines,
    ".md": _text,
    ".mjs": _text,
    ".py": _python,
    ".sql": _sql,
    ".svg": _xml,
    ".toml": _toml,
    ".txt": _text,
    ".webmanifest": _json,
    ".xml": _xml,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def read(path: str, content: bytes) -> tuple[list[str], list[str]]:
    """What is wrong with a file, and what is suspicious in it."""
    if len(content) > MAX_BYTES:
        return [f"it has more than {MAX_BYTES:,} bytes, so it was not checked"], []
    parser = PARSERS.get(PurePosixPath(path).suffix.lower(), _text)
    try:
        text = content.decode()
        reading = parser(text)
        findings = [*reading.findings, *suspicion.in_text(text)]
        return _bounded(reading.problems), _bounded(findings)
    except UnicodeDecodeError:
        return ["it is not UTF-8"], []
    except (RecursionError, MemoryError):
        return ["it is nested too deeply, or needs too much memory"], []
    except _TooSlowError:
        return ["parsing it takes too long"], []
    # Each parser has errors of its own.
    except Exception as wrong:  # noqa: BLE001
        return _bounded([_reason(wrong)]), []


def _reason(wrong: Exception) -> str:
    if isinstance(wrong, SyntaxError):
        return f"line {wrong.lineno}: {wrong.msg}"
    return " ".join(str(wrong).split()) or type(wrong).__name__


def _bounded(messages: Iterable[str]) -> list[str]:
    """The first few, each on one line that can be printed."""
    shown = []
    for message in messages:
        text = "".join(each if each.isprintable() else " " for each in message[:MAX_MESSAGE])
        shown.append(text)
        if len(shown) == MAX_MESSAGES:
            break
    return shown


def _too_slow(*_: object) -> NoReturn:
    raise _TooSlowError


def main() -> None:
    """Read files until there are none left."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _too_slow)
    # Our own process has written them.
    files: dict[str, bytes] = marshal.load(sys.stdin.buffer)  # noqa: S302
    for path, content in files.items():
        print(json.dumps({"begins": path}), flush=True)  # noqa: T201
        signal.setitimer(signal.ITIMER_REAL, FILE_SECONDS)
        problems, findings = read(path, content)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps({"path": path, "problems": problems, "findings": findings}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
