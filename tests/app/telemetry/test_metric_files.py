"""Metrics on a disk without room: a process counts on, in memory, and nothing ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import mmap_dict
from support.disks import fill, make_read_only, mounted

from app.telemetry.metric_files import FIRST_BYTES, AllocatedFile

# Enough labels to fill more than the first pages, and then more than the disk had.
COUNT = """
import sys
from app.telemetry import metrics
for number in range(int(sys.argv[1])):
    metrics.activations.labels(f"a rather long outcome {number:06d} " + "x" * 100).inc()
    metrics.requests.labels("GET", f"/{number}", "200").observe(0.1)
metrics.sql_statements.inc(7)
metrics.exposition()
print(metrics.sql_statements._value.get())
"""


def counted(folder: Path, labels: int) -> tuple[int, str]:
    """The exit code and the output of a process that counts in this folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", COUNT, str(labels)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip().rpartition("\n")[2]


@pytest.mark.parametrize("state", ["roomy", "nearly full", "full", "read-only"])
def test_a_process_counts_whatever_its_disk_is_like(tmp_path: Path, state: str) -> None:
    with mounted(tmp_path / "disk", 1 if state == "nearly full" else 16) as folder:
        if state == "full":
            fill(folder)
        elif state == "read-only":
            make_read_only(folder)

        told = counted(folder, 600)

        files = list(folder.glob("*.db"))
        allocated = [path.stat().st_blocks * 512 >= path.stat().st_size for path in files]

    assert told == (0, "7.0")
    assert all(allocated)
    assert bool(files) is (state in {"roomy", "nearly full"})


def test_a_file_is_what_the_library_reads(tmp_path: Path) -> None:
    path = str(tmp_path / "counter_1.db")
    kept = AllocatedFile(path)
    keys = [f"key {number} {'x' * number}." for number in range(1000)]
    for number, key in enumerate(keys):
        kept.write_value(key, float(number), 1.0)
    kept.close()

    again = AllocatedFile(path)
    read = {key: value for key, value, _, _ in mmap_dict.MmapedDict.read_all_values_from_file(path)}

    assert {key.rstrip(): value for key, value in read.items()} == {key: float(n) for n, key in enumerate(keys)}
    assert again.read_value(keys[-1])[0] == 999.0
    assert Path(path).stat().st_size > FIRST_BYTES
    again.close()
