"""Which connection goes when there is one too many."""

from __future__ import annotations

from typing import Any

import pytest

from app.wire.connections import OpenConnections, most_connections


class Line:
    """A connection as far as it is looked at."""

    def __init__(self, heard_at: float, address: str = "a", *, waits: bool = True, begun: bool = False) -> None:
        self.heard_at, self.address = heard_at, address
        self.waits_for_client, self.is_between_requests = waits, not begun
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def admitted(connections: OpenConnections, *lines: Line) -> list[bool]:
    """Which of them found room."""
    taken: Any = lines
    return [connections.admit(line) for line in taken]


def test_the_idlest_goes_and_first_one_that_has_not_begun() -> None:
    connections = OpenConnections(4, 0)
    busy, begun, kept, silent = Line(0, waits=False), Line(1, begun=True), Line(3), Line(2)

    assert admitted(connections, busy, begun, kept, silent) == [True] * 4
    closed = []
    for number in range(4):
        assert admitted(connections, Line(10 + number, waits=False)) == [number < 3]
        closed.append([line.is_closed for line in (busy, begun, kept, silent)])

    assert closed == [
        [False, False, False, True],
        [False, False, True, True],
        [False, True, True, True],
        [False, True, True, True],
    ]


def test_a_twentieth_goes_at_a_time() -> None:
    connections = OpenConnections(100, 0)
    lines = [Line(number) for number in range(101)]

    assert admitted(connections, *lines) == [True] * 101
    assert [line.is_closed for line in lines] == [True] * 5 + [False] * 96


def test_an_address_makes_room_for_itself_alone() -> None:
    connections = OpenConnections(100, 3)
    other = Line(0, "b")
    own = [Line(number, "a") for number in range(1, 5)]

    assert admitted(connections, other, *own) == [True] * 5
    assert [line.is_closed for line in (other, *own)] == [False, True, False, False, False]
    full = OpenConnections(100, 2)
    assert admitted(full, *(Line(1, waits=False) for _ in range(3)), Line(1, "b")) == [True, True, False, True]


def test_what_has_gone_takes_no_room() -> None:
    connections = OpenConnections(1, 1)
    for _ in range(3):
        line: Any = Line(0, waits=False)
        assert connections.admit(line)
        connections.discard(line)
        connections.discard(line)


@pytest.mark.parametrize(
    ("wanted", "files", "most"), [(4096, 1_048_576, 4096), (4096, 1024, 896), (4096, 100, 50), (10, 1024, 10)]
)
def test_a_worker_keeps_as_many_as_files_may_be_open_but_for_some(wanted: int, files: int, most: int) -> None:
    assert most_connections(wanted, files) == most


def test_no_address_may_have_more_than_half_of_all() -> None:
    assert [OpenConnections(*limits).per_address for limits in ((100, 10), (100, 90), (1, 9), (9, 0))] == [10, 50, 1, 0]
