"""Objectives: how a text becomes a list of them, whatever it is."""

from __future__ import annotations

import pytest

from app.agents.job import MAX_OBJECTIVE, MAX_OBJECTIVES, clean, objectives_of


@pytest.mark.parametrize(
    ("text", "objectives"),
    [
        ("", ()),
        (" \n\t\n", ()),
        ("one\ntwo\r\n\r\nthree", ("one", "two", "three")),
        ("- one\n* two\n3. three\n(4) four\n• five", ("one", "two", "three", "four", "five")),
        ("one\none\ntwo", ("one", "two")),
        ("search books, delete books", ("search books", "delete books")),
        ("one, and, as it is, one line\nanother", ("one, and, as it is, one line", "another")),
        ("books with title, author and year, search books", ("books with title, author and year", "search books")),
        ("orders (id, amount, date), import from CSV", ("orders (id, amount, date)", "import from CSV")),
        ("create, read, update and delete books, unit tests", ("create, read, update and delete books", "unit tests")),
        ("REST API; search, filter; tests", ("REST API", "search, filter", "tests")),
        ("A service for books. Each has a title, a year.", ("A service for books.", "Each has a title, a year.")),
        ("columns: id, name, add an export", ("columns: id, name", "add an export")),
        ("3 pages", ("3 pages",)),
    ],
)
def test_a_text_has_objectives(text: str, objectives: tuple[str, ...]) -> None:
    assert objectives_of(text) == objectives


def test_ten_megabytes_are_one_objective_that_was_cut() -> None:
    (objective,) = objectives_of("x" * 10_000_000)

    assert len(objective) == MAX_OBJECTIVE
    assert objective.endswith("x…")


def test_too_many_objectives_are_counted_in_the_last_one() -> None:
    objectives = objectives_of("\n".join(f"objective {number}" for number in range(200)))

    assert len(objectives) == MAX_OBJECTIVES
    assert objectives[-2:] == ("objective 48", "151 further objectives, because at most 50 are read")


def test_a_cleaned_text_is_one_line_that_shows_what_it_is() -> None:
    assert clean(" a\r\n\x00b\u2028c\u202ed\ud800e\u00a0 f ", 100) == "a b c d e f"
    assert clean("😀 ☕ grün", 100) == "😀 ☕ grün"
    assert clean("abcdef", 4) == "abc…"
