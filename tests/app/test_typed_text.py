"""What a person types or pastes is taken as it was meant."""

from __future__ import annotations

import pytest

from app import typed_text
from app.services.licensing import code_text
from app.services.operators.emails import read_address

AROUND = [" {} ", "{}\r\n", "\t{}", "\u00a0{}\u2003", "\ufeff{}\u200b", "\u200e{}\u2060"]


@pytest.mark.parametrize("around", AROUND)
def test_what_nobody_sees_around_a_text_is_no_part_of_it(around: str) -> None:
    assert typed_text.stripped(around.format("Äpfel & Co")) == "Äpfel & Co"
    assert typed_text.slug(around.format("Acme-Ltd")) == "acme-ltd"
    assert typed_text.joined(around.format("123456")) == "123456"
    assert read_address(around.format("Ann@Example.com")) == "ann@example.com"
    assert code_text.normalize(around.format("abcd-efgh-jklm-npqr")) == "ABCD-EFGH-JKLM-NPQR"


@pytest.mark.parametrize(
    "typed",
    [
        "123 456",
        "123-456",
        "12\u201334\u201456",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "1 2 3 4 5 6",
        "123\u00a0456",
        "123\n456",
    ],
)
def test_a_code_may_be_written_in_groups(typed: str) -> None:
    assert typed_text.joined(typed) == "123456"


def test_what_is_inside_stays() -> None:
    assert typed_text.stripped("two  words") == "two  words"
    assert typed_text.slug("a b") == "a b"
    assert typed_text.joined("12_34") == "12_34"
