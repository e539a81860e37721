from typing import NamedTuple


class Limits(NamedTuple):
    a: int
    b: int
    c: int


def judge_files(existing, written, limits) -> str | None:
    return None
