"""``portal work``: background work alone, on a host that answers no requests."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from app.commands.fork_server import START_METHOD, start_fork_server
from app.commands.parameters import AsJson
from app.settings import load_settings
from app.settings.kinds import MAX_WORK_PROCESSES
from app.wire.open_files import raise_open_files


def work(
    *,
    processes: Annotated[
        int | None,
        Parameter(
            help="Work processes; the setting work_processes by default.",
            validator=Number(gte=1, lte=MAX_WORK_PROCESSES),
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run schedules and errands, and answer no requests; any number of hosts may work on one PostgreSQL.

    It ends when it gets SIGTERM or Ctrl-C, after its running steps or their grace.
    """
    settings = load_settings()
    raise_open_files()
    start_fork_server("app.commands.preload_work")
    from app.commands.main_process import run_work

    run_work(settings, processes or settings.work_process_count or 1, START_METHOD, as_json=as_json)
