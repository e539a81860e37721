"""Hostile texts: whatever names and objectives say, it stays a text in every file of the project."""

from __future__ import annotations

import ast
import asyncio
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.agents import run_project, run_tests, write_files

from app.agents.catalogue import templates
from app.agents.job import Brief
from app.agents.parsers import read
from app.agents.render import render
from app.agents.specification import Specification, specify
from app.agents.work import objectives_of

# If it is ever more than a text, it is a name, an element or an attribute of this name.
MARK = "zqmark"
FRAGMENTS = (
    "{{ 7 * 7 }}", "{% raw %}", "{# x #}", '"""', "'''", "\\", '"', "'", "`", "```", "$(id)", "${HOME}", "%s %(x)s",
    f"{MARK}()", f"</script><script>{MARK}()</script>", f"<{MARK} {MARK}=1>", f'" {MARK}="1', "-->", "]]>",
    "</title>", "&amp;", "%", "\x00", "\x1b[31m", "\r\n", "\u2028", "\u202e", "\ufeff", "\ud800", "\U0001f600", "é",
    "日本", "|", "# x", "; drop table", "--", "../../etc/passwd", "/dev/null", "= 1 + 1", "@import",
    "javascript:alert(1)", "self", "import", "def", "None", "id", "select",
)  # fmt: skip
ASKING = (
    "REST API for {} with title, {} and price",
    "search books by {}",
    "import {} from CSV with columns id, {}, amount",
    "website with {} page, {} section and contact {}",
    "CLI to add {} with name and {}",
    "{} (open, {})",
    "{} must be unique",
    "CLI that counts words {}",
    "{} belong to {}",
    "{}",
)
fragment = st.sampled_from(FRAGMENTS) | st.text(max_size=20)
texts = st.lists(fragment, max_size=4).map(" ".join)
objective = st.tuples(st.sampled_from(ASKING), texts, texts).map(
    lambda drawn: drawn[0].replace("{}", drawn[1], 1).replace("{}", drawn[2])
)
objectives = st.lists(objective, min_size=1, max_size=8)


def files_of(spec: Specification) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for kind in spec.kinds:
        for agent_type in templates()[kind].agents():
            files |= render(spec, kind, agent_type)
    return files


class Elements(HTMLParser):
    """The names of all elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag, *(name for name, _ in attrs)}


def names_in(source: str) -> set[str]:
    """Every name that code calls, reads, writes or imports; those of functions are made of objectives."""
    nodes = list(ast.walk(ast.parse(source)))
    return (
        {node.id for node in nodes if isinstance(node, ast.Name)}
        | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        | {alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts, texts, texts, objectives)
def test_every_file_is_sound_and_every_text_is_only_a_text(
    name: str, client: str, description: str, asked: list[str]
) -> None:
    spec = specify(Brief(name, name, client, description, objectives_of("\n".join(asked))))
    for path, content in files_of(spec).items():
        assert path.isascii()
        assert ".." not in path
        assert read(path, content) == ([], []), path
        text = content.decode()
        if path.endswith(".py"):
            assert not any(MARK in each.lower() for each in names_in(text) - constants_of(spec)), path
        if path.endswith((".html", ".svg")):
            assert not any(MARK in each for each in Elements(text).names), path
        if path == "README.md":
            for each in spec.objectives:
                assert each.text in text


def constants_of(spec: Specification) -> set[str]:
    """The constants that are named after entities."""
    return {entity.name.upper() for entity in spec.entities}


@pytest.mark.parametrize(
    "asked",
    [
        'REST API for books with title {{ 7 * 7 }}\n""" search books \\ by title\n</script><script>alert(1)</script>',
        "REST API for class with def, import, from, order, id, limit, sort and select",
        "website with --> page, index page, style page, 404 page and </main> section\n`rm -rf /` ${HOME} x@y.zz",
        "CLI to add notes with records, tool, %s, help, json and database (%d, {x})\nlist notes",
        "import sqlite_masters from CSV with columns rowid, _id, %(x)s, =1+1, \u202eabc\nskip duplicates \ud800",
    ],
)
async def test_the_projects_own_tests_pass_too(asked: str, tmp_path: Path) -> None:
    name = '{{ 7 * 7 }} """ </title> \'%s\' \\ $(id)'

    run = await run_project(Brief("p", name, name, name, objectives_of(asked)))

    done = await asyncio.to_thread(run_tests, write_files(tmp_path, run.files))
    assert done.returncode == 0, done.stderr
    assert all("49" not in text for text in run.text("README.md").split() if "7" not in text)


def test_enormous_texts_are_bounded() -> None:
    huge = "REST API for books with title and author, " * 250_000

    spec = specify(Brief(huge, huge, huge, huge, (huge, *objectives_of(huge))))

    files = files_of(spec)
    assert sum(len(content) for content in files.values()) < 400_000
    assert max(len(path) for path in files) < 100
