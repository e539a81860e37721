"""The sandbox: code in it reaches nothing of the host, and uses no more than its limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from app import sandbox as module
from app.commands import checks
from app.sandbox import Finished, Limits, Sandbox, find_sandbox

HOST = ["/etc/passwd", "/etc/hostname", "/root", "/home", "/var", "/proc/1/root/etc/passwd", "/sys"]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    found = find_sandbox()
    if found is None:
        pytest.skip("there is no sandbox on this machine")
    return found


async def run(sandbox: Sandbox, code: str, **limits: float) -> Finished:
    return await sandbox.run_python(["-c", code], {"data/text.txt": b"given"}, Limits(**limits))  # type: ignore[arg-type]


async def test_a_command_has_its_files_in_a_folder_that_it_may_change(sandbox: Sandbox) -> None:
    code = (
        "import os, pathlib; path = pathlib.Path('data/text.txt'); print(path.read_text(), os.getcwd());"
        "path.write_text('x'); pathlib.Path('data/new').write_text('y'); print(sorted(os.listdir('data')))"
    )

    assert await run(sandbox, code) == Finished(0, "given /project\n['new', 'text.txt']\n")


async def test_the_status_is_that_of_the_command_and_both_outputs_are_kept(sandbox: Sandbox) -> None:
    finished = await run(sandbox, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")

    assert finished.status == 7
    assert sorted(finished.output.split()) == ["err", "out"]


@pytest.mark.parametrize("path", HOST)
async def test_files_of_the_host_are_not_there(sandbox: Sandbox, path: str) -> None:
    finished = await run(sandbox, f"import os; print(os.path.exists({path!r}))")

    assert finished == Finished(0, "False\n")


async def test_neither_environment_nor_open_files_nor_processes_are_the_hosts(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", "secret")
    (tmp_path / "secret").write_text("secret")
    with (tmp_path / "secret").open() as opened:
        os.set_inheritable(opened.fileno(), True)
        code = (
            "import os; print('PORTAL_SECRET_KEY' in os.environ, sorted(os.environ),"
            "sorted(os.listdir('/proc/self/fd')),"
            "len([each for each in os.listdir('/proc') if each.isdigit()]), os.getuid() in (0,))"
        )
        finished = await run(sandbox, code)

    said = finished.output
    assert said.startswith("False ['HOME', 'LANG', ")
    assert "['0', '1', '2', '3']" in said
    assert said.endswith("2 False\n")


async def test_the_hosts_network_is_not_there_and_its_own_is(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        finished = await run(
            sandbox,
            f"""
import socket
for address in (("127.0.0.1", {port}), ("10.0.0.1", 80), ("1.1.1.1", 53)):
    try:
        print(socket.create_connection(address, timeout=2))
    except OSError as failure:
        print(type(failure).__name__, failure.errno)
print([name for _, name in socket.if_nameindex()])
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=2).close()
    print("itself")
""",
        )

    assert finished.output.splitlines() == [
        "ConnectionRefusedError 111",
        "OSError 101",
        "OSError 101",
        "['lo']",
        "itself",
    ]


async def test_a_fork_bomb_is_bounded(sandbox: Sandbox) -> None:
    code = """
import os, time
started = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        started += 1
except OSError as failure:
    print(started, failure.errno)
"""

    finished = await run(sandbox, code, processes=16)

    assert finished == Finished(0, "15 11\n")


def is_left(process: psutil.Process) -> bool:
    """Whether a process of a sandbox has outlived it; a dead one may wait for the machine's first process to notice."""
    with contextlib.suppress(psutil.NoSuchProcess):
        orphaned = process.ppid() == 1 and process.status() != psutil.STATUS_ZOMBIE
        return orphaned and ("bwrap" in process.name() or "setsid" in " ".join(process.cmdline()))
    return False


async def test_one_that_goes_on_is_killed_with_all_that_it_has_started(sandbox: Sandbox) -> None:
    code = "import os\nwhile True:\n  try:\n    os.fork(); os.setsid()\n  except OSError: pass"
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    finished = await run(sandbox, code, wall_seconds=1, processes=16)

    assert finished.status is None
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    for _ in range(100):
        if not (left := [each for each in psutil.process_iter() if is_left(each)]):
            break
        await asyncio.sleep(0.05)
    assert left == []


async def test_time_is_bounded_by_clock_and_by_work(sandbox: Sandbox) -> None:
    began = time.monotonic()
    sleeping = await run(sandbox, "import time; time.sleep(60)", wall_seconds=0.5)
    working = await run(sandbox, "while True: pass", cpu_seconds=1)

    assert sleeping == Finished(None, "")
    assert working.status == 128 + 9
    assert time.monotonic() - began < 30


async def test_output_is_bounded_and_its_end_is_kept(sandbox: Sandbox) -> None:
    endless = await run(sandbox, "while True: print('x' * 1000)", file_size=1 << 20)
    much = await run(sandbox, "print('x' * 100_000); print('end')", output=1000)

    assert endless.status not in {0, None}
    assert len(endless.output) == 64 << 10
    assert len(much.output) == 1000
    assert much.output.endswith("x\nend\n")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("x = bytearray(600 << 20)", "MemoryError"),
        ("open('large', 'wb').write(b'x' * (9 << 20))", "File too large"),
        ("for at in range(99): open(f'/tmp/{at}', 'wb').write(b'x' * (4 << 20))", "No space left on device"),
        ("for at in range(99): open(f'{at}', 'wb').write(b'x' * (4 << 20))", "No space left on device"),
        ("open('/usr/here', 'w')", "Error"),
        ("open('/here', 'w')", "Error"),
        ("import os; os.setuid(0)", "Operation not permitted"),
        (
            "import ctypes; print(1 / (1 + ctypes.CDLL(None).mount(b'a', b'/tmp', b'tmpfs', 0, None)))",
            "ZeroDivisionError",
        ),
    ],
)
async def test_what_is_not_allowed_fails(sandbox: Sandbox, code: str, error: str) -> None:
    finished = await run(sandbox, code)

    assert finished.status == 1
    assert error in finished.output


async def test_a_path_that_leads_out_is_one_of_the_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    for path in (f"../../{tmp_path}/out", f"{tmp_path}/out", "../../usr/out", "/etc/out"):
        await sandbox.run_python(["-c", "print('ran')"], {path: b"x"})
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
    assert not await asyncio.to_thread(lambda: Path("/etc/out").exists() or Path("/usr/out").exists())


async def test_a_program_that_does_not_work_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose kernel denies namespaces has a bwrap that ends with an error."""
    denied = tmp_path / "bwrap"
    denied.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    denied.chmod(0o755)
    monkeypatch.setattr(module, "_programs", lambda: [str(denied), str(tmp_path / "missing")])

    assert await asyncio.to_thread(find_sandbox) is None
    result = await checks.sandbox()
    assert (result.check, result.status) == ("sandbox", "warning")
    assert "apt install bubblewrap" in result.detail
    assert "not run" in result.detail


async def test_the_doctor_says_where_tests_run(sandbox: Sandbox) -> None:
    result = await checks.sandbox()

    assert (result.status, result.detail) == ("ok", f"tests of projects run in {sandbox.program}")
