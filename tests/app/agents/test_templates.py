"""Templates of projects: each capability is found by the words for it, has tests, and names files that there are."""

from __future__ import annotations

import re

import pytest
from jinja2 import UndefinedError
from support.agents import brief_of

from app.agents.catalogue import PROJECT, RECORDS, named_kinds, templates
from app.agents.registry import agents
from app.agents.render import TenantText, code_span, render, report
from app.agents.specification import specify
from app.agents.words import tokens

# An objective for each capability of each template.
ASKING = {
    "rest_service": {
        "base": "REST API", "manage": "manage books", "create": "add a new book", "read": "list all books",
        "update": "edit books", "mark": "mark books as sold", "delete": "remove books", "search": "find books by title",
        "sort": "books sorted by title", "page": "pagination of books", "validate": "input validation",
        "persist": "books are stored in a SQLite database", "export": "export books as CSV", "count": "count books",
        "totals": "total price of books per title", "health": "health check", "describe": "Swagger documentation",
        "key": "access only with an API key", "relate": "books belong to authors", "client": "JavaScript client",
    },
    "command_line_tool": {
        "base": "clear error messages", "json": "results as JSON", "stdin": "reads from standard input",
        "count": "count words in text files", "frequent": "the 10 most frequent words", "grep": "find lines in files",
        "convert": "convert CSV files to JSON", "summarize": "mean and maximum of each column",
        "manage": "manage books",
        "duplicates": "list duplicate files", "add": "add books", "list": "show all books", "update": "edit books",
        "mark": "mark books as sold", "remove": "delete books", "search": "find books by title",
        "sort": "books sorted by title", "validate": "refuse invalid values of books",
        "persist": "keeps books between runs",
        "totals": "sum of prices of books by title", "export": "export books to CSV",
    },
    "static_site": {
        "base": "plain HTML", "pages": "about page", "sections": "pricing section", "navigation": "navigation bar",
        "responsive": "mobile friendly", "accessible": "usable with screen readers", "dark": "dark mode",
        "findable": "SEO", "missing": "404 page", "icon": "favicon", "contact": "contact details",
        "installable": "web app manifest", "print": "print styles",
    },
    "data_import": {
        "base": "import books from CSV", "json": "read JSON files too", "tsv": "tab-separated files",
        "reject": "log invalid rows", "duplicates": "skip duplicates", "summary": "print a summary",
        "totals": "total price by title", "export": "export all as JSON", "dry_run": "dry run",
        "clean": "trim whitespace",
        "encoding": "UTF-8",
    },
    "project": {
        "tests": "unit tests", "documentation": "README with usage instructions", "container": "Docker image",
        "no_dependencies": "standard library only", "packaging": "installable with pip", "check": "a Makefile",
    },
}  # fmt: skip
FIRST = {
    "rest_service": "REST API for authors with name; books with title, price and sold",
    "command_line_tool": "CLI to count words; terminal tool for books with title, price and sold",
    "static_site": "static website",
    "data_import": "import books from CSV with columns title, price, sold",
    "project": "static website",
}
CASES = [(kind, capability, asking) for kind, asked in ASKING.items() for capability, asking in asked.items()]


def test_every_capability_has_an_example_here() -> None:
    declared = {kind: {each.name for each in template.capabilities} for kind, template in templates().items()}

    assert {kind: set(asked) for kind, asked in ASKING.items()} | {RECORDS: set()} == declared


@pytest.mark.parametrize(("kind", "capability", "asking"), CASES, ids=[f"{kind}-{name}" for kind, name, _ in CASES])
def test_a_capability_is_found_by_the_words_for_it(kind: str, capability: str, asking: str) -> None:
    spec = specify(brief_of(f"{FIRST[kind]}\n{asking}".replace("; ", "\n")))

    asked = spec.objectives[-1]
    assert (kind, capability) in {(use.kind, use.capability) for use in asked.uses}
    assert asked.status == "covered"


def test_every_capability_has_its_test_and_no_test_is_without_one() -> None:
    for kind, template in templates().items():
        written = {path.name.removesuffix(".py.j2") for path in (template.folder / "objectives").glob("[!_]*.j2")}
        assert written == {each.name for each in template.capabilities}, kind


def test_what_a_capability_names_is_written() -> None:
    for kind, template in templates().items():
        asking = "\n".join([FIRST.get(kind, FIRST["project"]).replace("; ", "\n"), *ASKING.get(kind, {}).values()])
        spec = specify(brief_of(asking))
        written = {
            path for each in spec.kinds for agent in templates()[each].agents() for path in render(spec, each, agent)
        }
        for capability in template.capabilities:
            assert set(capability.files) <= written, capability.name
            assert any(path.startswith(capability.where) for path in written), capability.name


def test_only_agents_write_and_every_writing_agent_names_its_tasks() -> None:
    for template in templates().values():
        assert set(template.agents()) <= set(agents())


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("REST API", ["rest_service"]),
        ("a RESTful web-service and its home page", ["rest_service", "static_site"]),
        ("a back-end", ["rest_service"]),
        ("terminal program", ["command_line_tool"]),
        ("portfolio", ["static_site"]),
        ("a command-line tool that imports CSV", ["data_import"]),
        ("load customers from a CSV file", ["data_import"]),
        ("the rest of an important reference", ["rest_service"]),
        ("clients and websites", ["static_site"]),
        ("capital", []),
    ],
)
def test_a_kind_is_known_by_its_words(text: str, kinds: list[str]) -> None:
    assert named_kinds(tokens(text)) == kinds


def test_a_text_of_the_tenant_is_rendered_through_a_filter_or_not_at_all() -> None:
    text = TenantText("<b>")

    assert text.__html__() == "&lt;b&gt;"
    with pytest.raises(TypeError):
        str(text)


def test_a_template_that_misses_a_value_fails() -> None:
    with pytest.raises(UndefinedError):
        report(specify(brief_of("website")), "REPORT.md", {})


@pytest.mark.parametrize("text", ["plain", "`", "a``b", "`x`", "```\nfence", "<b> | * _ [x](y)"])
def test_a_span_of_code_shows_a_text_letter_by_letter(text: str) -> None:
    span = code_span(text)

    fence = re.match("`+", span)
    assert fence
    assert text in span
    assert fence.group() not in text
    assert span.endswith(fence.group())
    assert code_span("") == ""


def test_every_project_has_what_its_readme_tells() -> None:
    spec = specify(brief_of("website"))
    readme = render(spec, PROJECT, "workflow")["README.md"].decode()

    assert "python3 -m unittest" in readme
    assert "site/index.html" in readme
    assert "python3 -m service" not in readme
