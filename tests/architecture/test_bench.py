"""The bench is not part of the product and its types are not checked; but each of its programs can begin."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
# The servers that are compared read settings as they are imported, and run in processes of their own.
PROGRAMS = sorted(path.stem for path in BENCH.glob("*.py") if path.stem not in {"__init__", "bare", "direct"})
PROGRAMS += [
    f"{folder}.{path.stem}"
    for folder in ("attacks", "soak")
    for path in sorted((BENCH / folder).glob("*.py"))
    if path.stem != "__init__"
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_bench_can_begin(name: str) -> None:
    assert importlib.import_module(f"bench.{name}")
