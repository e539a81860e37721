"""Activation codes as text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from app.services.licensing import code_text

CODES = st.text(code_text.ALPHABET, min_size=16, max_size=16)


def grouped(plain: str) -> str:
    return "-".join(re.findall("....", plain))


def test_a_new_code_has_four_groups_of_four() -> None:
    made = {code_text.new_code() for _ in range(200)}

    assert len(made) == 200
    assert all(re.fullmatch(r"[A-HJ-NP-Z2-9]{4}(-[A-HJ-NP-Z2-9]{4}){3}", code) for code in made)


def test_the_alphabet_has_32_letters_that_are_not_confused() -> None:
    assert len(set(code_text.ALPHABET)) == 32
    assert not set("IO01") & set(code_text.ALPHABET)


@given(plain=CODES, data=st.data())
def test_case_spaces_and_dashes_do_not_matter(plain: str, data: st.DataObject) -> None:
    typed = "".join(
        (letter.lower() if data.draw(st.booleans()) else letter)
        + data.draw(st.sampled_from(["", "", "-", " ", "\t", "\n", "\u00a0", "\u2013"]))
        for letter in plain
    )

    assert code_text.normalize(typed) == grouped(plain)


@given(text=st.text() | CODES)
def test_whatever_is_typed_is_a_code_or_nothing(text: str) -> None:
    normalized = code_text.normalize(text)

    assert normalized is None or code_text.normalize(normalized) == normalized


def test_what_cannot_be_a_code_is_none() -> None:
    wrong = ["", "ABCD", "ABCD-EFGH-JKLM-NPQ", "ABCD-EFGH-JKLM-NPQRS", "ABCD-EFGH-JKLM-NPQ0", "ABCD-EFGH-JKLM-NPQß"]

    assert [code_text.normalize(text) for text in wrong] == [None] * len(wrong)


def test_a_hint_is_the_last_four() -> None:
    assert code_text.hint("ABCD-EFGH-JKLM-NPQR") == "NPQR"
