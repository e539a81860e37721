"""Learned templates: which of them fit a project, and what they become."""

from __future__ import annotations

import pytest
from support.agents import brief_of, run_project

from app.agents.job import LearnedTemplate
from app.agents.learned import MAX_CONTENT, MAX_TEMPLATES, fitting
from app.agents.specification import specify

SPEC = specify(brief_of("REST API for customers with name\nfind customers by name"))


def template(
    pattern: str, *techs: str, name: str = "Customers", content: str = "x = 1\n", number: int = 1
) -> LearnedTemplate:
    return LearnedTemplate(f"t-{number}", name, pattern, techs or ("python",), content, 90.0 + number)


@pytest.mark.parametrize(
    ("pattern", "techs", "objectives"),
    [
        ("REST API customer", ("python",), (1,)),
        ("find customers by name", ("Python ", "FastAPI"), (1, 2)),
        ("customers", ("python",), ()),
        ("customers invoices payments orders", ("python",), ()),
        ("REST API customers", ("rust",), ()),
        ("", ("python",), ()),
        ("{{ 7 * 7 }} <script>", ("python",), ()),
    ],
)
def test_one_fits_by_its_techs_and_by_the_words_of_an_objective(
    pattern: str, techs: tuple[str, ...], objectives: tuple[int, ...]
) -> None:
    found = fitting(SPEC, [template(pattern, *techs)])

    assert [each.objectives for each in found] == ([objectives] if objectives else [])


@pytest.mark.parametrize(
    ("name", "techs", "path"),
    [
        ("Find Customers!", ("python",), "learned/find_customers.py"),
        ("../../etc/passwd", ("sqlite", "python"), "learned/etc_passwd.sql"),
        ("日本", ("http",), "learned/template.txt"),
        ("x" * 300, ("python",), f"learned/{'x' * 40}.py"),
    ],
)
def test_its_file_is_in_a_folder_of_its_own(name: str, techs: tuple[str, ...], path: str) -> None:
    assert [each.path for each in fitting(SPEC, [template("REST API customers", *techs, name=name)])] == [path]


def test_the_best_are_taken_and_no_two_have_one_path() -> None:
    offered = [template("REST API customers", name=f"Name {number % 8}", number=number) for number in range(20)]

    found = fitting(SPEC, offered)

    assert len(found) == MAX_TEMPLATES
    assert [each.template.template_id for each in found] == ["t-19", "t-18", "t-17", "t-16", "t-15"]


@pytest.mark.parametrize("content", ["", "x" * (MAX_CONTENT + 1)])
def test_an_empty_one_and_a_large_one_do_not_fit(content: str) -> None:
    assert fitting(SPEC, [template("REST API customers", content=content)]) == []


async def test_what_it_says_is_written_and_never_rendered() -> None:
    content = "A = '{{ 7 * 7 }}{% include \"x\" %}\ud800'\n"

    run = await run_project(
        brief_of("REST API for customers with name"), learned=[template("REST API customers", content=content)]
    )

    assert run.files["learned/customers.py"] == content.encode("utf-8", "replace")
    assert run.outcomes["learned"].outputs["learned"] == ["t-1"]
