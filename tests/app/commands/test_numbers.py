"""Numbers that commands refuse: the sentence says what was typed and what it has to be."""

from __future__ import annotations

from support.command_line import Portal


def test_a_number_that_is_none_is_told_with_what_it_has_to_be(portal: Portal) -> None:
    override = ("link-sub", "--tenant", "demo", "--plan", "Starter", "--max-devices-override")
    for arguments, told in (
        (("cancel-run", "+9"), '"+9" is no id'),
        (("revoke-device", "--tenant", "demo", "--device", "9" * 20), f'"{"9" * 20}" is no id'),
        ((*override, "1_7"), '"1_7" is neither a number from 0 to 2147483647 in digits alone nor plan'),
        ((*override, "-5"), '"-5" is neither'),
        ((*override, "many"), '"many" is neither'),
    ):
        assert told in portal(*arguments).err
