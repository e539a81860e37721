"""``portal serve``: takes the socket, starts the workers' imports, and only then imports the rest for itself."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.commands.fork_server import START_METHOD, start_fork_server
from app.commands.parameters import AsJson
from app.commands.worker import BACKLOG
from app.errors import SettingsError
from app.settings import Settings, load_settings
from app.settings.state_folder import make_state_dir
from app.wire.open_files import raise_open_files

METRICS_FOLDER = "metrics"
# A disk that takes no more, or only reads.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def serve(
    *,
    host: Annotated[
        str | None, Parameter(help="Address to listen on; 0.0.0.0 is every one of IPv4, :: every one.")
    ] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 chooses a free one.")] = None,
    workers: Annotated[int | None, Parameter(help="Worker processes; 0 chooses.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start the server; in development it prepares its database by itself.

    It ends when it gets SIGTERM or Ctrl-C, after it has answered what it was asked.
    """
    options = {"host": host, "port": port, "workers": workers}
    settings = load_settings(**{key: value for key, value in options.items() if value is not None})
    raise_open_files()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listening(settings))
        is_alone = settings.worker_count + settings.work_process_count == 1
        # prometheus_client reads it once, at its first import; a single process keeps its metrics in memory.
        if not is_alone and (folder := stack.enter_context(_metrics_folder(settings))) is not None:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        start_fork_server("app.commands.preload")
        # No slow import comes before this point, because the workers' imports decide when the server is ready.
        from app.commands.main_process import run

        run(settings, listener, START_METHOD, as_json=as_json)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket; it is opened first, because without the port everything else would be in vain."""
    address = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # ``::`` means every address of this machine, those of IPv4 as well, which a host's own default may leave out.
    is_any = settings.host == "::" and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG, dualstack_ipv6=is_any
        )
    except PermissionError:
        from app.commands.output import CommandFailedError

        raise CommandFailedError("port_forbidden", f"This user may not listen on {address}: use --port 8080.") from None
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            from app.commands.output import CommandFailedError

            message = f"Cannot listen on {address}: another program does. Choose another port by --port."
            raise CommandFailedError("port_in_use", message) from None
        reason = f"cannot listen on {settings.host}, which must be an address or a name of this machine"
        raise SettingsError(key="host", variable="PORTAL_HOST", reason=reason) from None
    try:
        yield listener
    finally:
        listener.close()


@contextlib.contextmanager
def _metrics_folder(settings: Settings) -> Iterator[Path | None]:
    """An empty folder for this server's metrics; the folders of servers that have ended are removed.

    A server holds a lock in its folder; the lock ends with its process, and so shows that the server has ended. None
    on a disk that takes no more: then each process counts for itself.
    """
    parent = settings.state_dir.absolute() / METRICS_FOLDER
    try:
        make_state_dir(settings.state_dir)
        parent.mkdir(exist_ok=True)
        for old in parent.iterdir():
            with contextlib.suppress(OSError), (old / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old)
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock_file = (folder / "lock").open("w")
    except OSError as failure:
        if failure.errno not in NO_ROOM:
            reason = f"cannot write into {settings.state_dir} ({failure.strerror})"
            raise SettingsError(key="state_dir", variable="PORTAL_STATE_DIR", reason=reason) from None
        import structlog

        structlog.get_logger(__name__).warning("metrics_in_memory", reason=failure.strerror)
        yield None
        return
    with lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
