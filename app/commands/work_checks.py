"""The doctor's checks of processes: how many connections they hold, and whether anybody does background work."""

from __future__ import annotations

from app.clock import CLOCKS_DIFFER, SystemClock
from app.commands.check_result import CheckResult, Status
from app.context import Actor, Context
from app.database import pools
from app.database.connections import Database, moment
from app.database.engines import SESSION, limits
from app.jobs.clock_watch import NOTABLE
from app.runtime import Runtime
from app.services import readiness
from app.settings import Settings
from sql.statements import database_server

# An errand is begun within seconds; one that has waited for so long waits for a process that works.
LATE_SECONDS = 60


def connections(settings: Settings, usable: int) -> CheckResult:
    """Whether the server permits as many connections as this host's processes may open."""
    if settings.pooler:
        return CheckResult("connections", "ok", "the pooler holds those of requests; work and listening have their own")
    held = pools.connections(settings)
    detail = f"{held.workers} workers x {held.per_worker}"
    if held.work_processes:
        detail += f" + {held.work_processes} work processes x {held.per_work_process}"
    detail += f" = {held.total} of the server's {usable}"
    if held.total <= usable:
        return CheckResult("connections", "ok", detail)
    remedy = "lower workers, work_processes, or the size of a pool, or raise max_connections"
    return CheckResult("connections", "failure", f"{detail}; {remedy}")


async def pooler(settings: Settings, db: Database) -> CheckResult:
    """Whether sessions behind the pooler are set up as the portal sets up its own.

    Plans are slower otherwise, and who waits for a row that is locked keeps others waiting.
    """
    async with db.read() as conn:
        found = (await conn.rows(database_server.session_settings))[0]
    is_bounded = found.lock_timeout != "0" and found.idle_timeout != "0"
    if is_bounded and dict(zip(SESSION, found[: len(SESSION)], strict=True)) == SESSION:
        return CheckResult("database_pooler", "ok", "answers; its sessions are set up")
    wanted = "; ".join(f"SET {name} = {value}" for name, value in (SESSION | limits(settings)).items())
    return CheckResult("database_pooler", "warning", f"answers; give its database: connect_query='{wanted}'")


async def clock(db: Database) -> CheckResult:
    """Whether this host's clock is the database's: holds and sessions end by the clock of whoever looks."""
    async with db.read() as conn:
        # The first statement of a connection takes longer.
        await conn.one(database_server.clock, moment)
        skew = (SystemClock().now() - await conn.one(database_server.clock, moment)).total_seconds()
    if abs(skew) <= NOTABLE.total_seconds():
        return CheckResult("clock", "ok", "agrees with the database's")
    status: Status = "failure" if abs(skew) > CLOCKS_DIFFER.total_seconds() else "warning"
    way = "ahead of" if skew > 0 else "behind"
    return CheckResult("clock", status, f"{abs(skew):.0f} seconds {way} the database's; set both by NTP")


async def work(settings: Settings, runtime: Runtime) -> CheckResult:
    """Whether background work is done; no server need run while the doctor looks."""
    ctx = Context(runtime, Actor("system", "portal doctor"))
    found = await readiness.work(ctx)
    waited = found.wait_seconds(ctx.now())
    is_late = waited > LATE_SECONDS
    if found.processes:
        late = f"; an errand has waited for {waited} seconds" if is_late else ""
        detail = f"processes that work now, on all hosts: {found.processes}{late}"
        return CheckResult("work", "warning" if is_late else "ok", detail)
    is_elsewhere = settings.work_processes == "elsewhere"
    remedy = "start: portal work" if is_elsewhere else "start: portal serve, or portal work"
    if is_late:
        detail = f"no process works, and an errand has waited for {waited} seconds; {remedy}"
        return CheckResult("work", "failure", detail)
    if is_elsewhere:
        return CheckResult("work", "warning", f"work_processes is elsewhere, and no process works now; {remedy}")
    return CheckResult("work", "ok", "no process works now, and no errand is late")
