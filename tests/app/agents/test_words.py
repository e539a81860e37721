"""Words: singular, plural, names."""

from __future__ import annotations

import pytest

from app.agents.words import plural, singular, slug, tokens

PAIRS = """
book books|customer customers|address addresses|status statuses|person people|child children|company companies|
box boxes|class classes|bus buses|house houses|cause causes|hero heroes|quiz quizzes|day days|movie movies|
branch branches|analysis analyses|leaf leaves|invoice invoices|alias aliases|process processes|cookie cookies|
tax taxes|woman women|photo photos
"""


@pytest.mark.parametrize("pair", [pair.split() for pair in PAIRS.replace("\n", "").split("|")], ids="-".join)
def test_a_noun_has_a_singular_and_a_plural(pair: list[str]) -> None:
    one, several = pair

    assert (singular(several), plural(one)) == (one, several)
    assert (singular(one), plural(several)) == (one, several)


@pytest.mark.parametrize("word", ["news", "series", "inventory", "data", "software", "is", "gas"])
def test_some_words_are_both(word: str) -> None:
    assert singular(word) == word


def test_a_name_is_letters_digits_and_underscores() -> None:
    assert slug("Größe & Preis (€) 2") == "grosse_preis_2"
    assert slug("3rd id") == "rd_id"
    assert slug("日本", otherwise="thing") == "thing"
    assert slug("a" * 100, 10) == "a" * 10


def test_tokens_are_words_and_marks() -> None:
    assert tokens("Bücher: e-mail, (don't) --json a/b!") == [
        "bucher", ":", "e-mail", ",", "(", "don't", ")", "--json", "a", "/", "b",
    ]  # fmt: skip
