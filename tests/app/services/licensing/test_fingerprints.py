"""Fingerprints: what is written in another way is the same hardware, and no two machines become one."""

from __future__ import annotations

import pytest

from app.services.licensing.fingerprints import normalized, read_fingerprint

SHA1, SHA256 = "AB" * 20, "0f1e2D3c" * 8


@pytest.mark.parametrize(
    ("sent", "compared"),
    [
        ("AA:BB:CC:DD:EE:0F", "aa:bb:cc:dd:ee:0f"),
        ("Aa-bB-CC-DD-EE-0F\r\n", "aa-bb-cc-dd-ee-0f"),
        ("AA:BB:CC:DD:EE:0F:11:22", "aa:bb:cc:dd:ee:0f:11:22"),
        ("AABB.CCDD.EE0F", "aabb.ccdd.ee0f"),
        ("AABBCCDDEE0F", "aabbccddee0f"),
        ("6F9619FF-8B86-D011-B42D-00CF4FC964FF", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        ("{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}"),
        (f" {SHA1}\n", SHA1.lower()),
        (SHA256, SHA256.lower()),
        (f"0X{SHA256}", f"0x{SHA256.lower()}"),
        ("Disk-7 WD|AA:BB:CC:DD:EE:0F|Ab", "Disk-7 WD|aa:bb:cc:dd:ee:0f|Ab"),
        ("\ufeffSerial \u00a0", "Serial"),
        ("Bu\u0308ro", "B\u00fcro"),
    ],
)
def test_the_same_hardware_is_compared_as_the_same_text(sent: str, compared: str) -> None:
    assert (normalized(sent), normalized(compared)) == (compared, compared)
    assert read_fingerprint(sent).hash == read_fingerprint(compared).hash != read_fingerprint(sent).raw_hash
    assert read_fingerprint(compared).is_normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # In another case these may be other machines.
        ("abc", "ABC"),
        ("Serial-7f", "Serial-7F"),
        ("Xc4ab3", "xc4ab3"),
        ("deadbeefdeadbee", "DEADBEEFDEADBEE"),
        ("gaBBccddeeff0", "gabbccddeeff0"),
        ("AA:BB:CC:DD:EE", "aa:bb:cc:dd:ee"),
        # Nothing within the text goes.
        ("disk 7", "disk  7"),
        ("aa:bb:cc:dd:ee:0f", "aa-bb-cc-dd-ee-0f"),
        ("aa:bb:cc:dd:ee:0f", "aabbccddee0f"),
        # Unicode's compatible forms are others.
        ("\u2460", "1"),
        ("\uff21", "A"),
        ("Büro", "Buro"),
        # Of nothing but blanks nothing is taken.
        (" ", "  "),
        ("\n", "\t"),
    ],
)
def test_two_machines_stay_two(one: str, other: str) -> None:
    assert read_fingerprint(one).hash != read_fingerprint(other).hash


@pytest.mark.parametrize("text", ["{AA:BB:CC:DD:EE:0F}\n", " x ", "é", "\u212b", "ﬁ" * 300, "A" * 1024])
def test_normalising_again_changes_nothing(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)
