"""What tails read from: one run by the numbers of its events, or all runs in the order of transactions."""

from __future__ import annotations

from app.runtime import Runtime
from app.services.runs.run_events import LAST_NUMBER, LAST_RUN, Cursor, RunEvent
from app.services.runs.tail import PAGE_SIZE, Page
from sql.statements import run_events as statements


class RunSource:
    """The events of one run; places are their numbers, which are assigned under the run's lock."""

    def __init__(self, runtime: Runtime, tenant_id: int, run_id: int) -> None:
        self._runtime = runtime
        self._key = {"tenant_id": tenant_id, "run_id": run_id}

    def place_of(self, event: RunEvent) -> int:
        """The event's number."""
        return event.number

    async def page(self, after: int, tenant_id: int | None) -> Page:
        """The next events; after the last one of a run that has ended, or is gone, it says so."""
        async with self._runtime.db.read() as conn:
            rows = await conn.rows(statements.events_of_run, after_number=after, page_size=PAGE_SIZE, **self._key)
        if not rows:
            return Page([], is_full=False, end="deleted")
        events = [RunEvent(*tuple(row)[2:]) for row in rows if row.number is not None]
        is_last = (events[-1].number if events else after) >= rows[0].events
        return Page(events, not is_last, "run_ended" if is_last and not rows[0].is_running else None)


class AllRunsSource:
    """The events of all runs; what a transaction that still runs might come before waits until that has ended."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def place_of(self, event: RunEvent) -> Cursor:
        """The event's place among those of all runs."""
        return event.cursor

    async def newest(self) -> Cursor:
        """The place behind which everything is still to come."""
        async with self._runtime.db.read() as conn:
            return Cursor(await conn.one(statements.last_transaction, int), LAST_RUN, LAST_NUMBER)

    async def page(self, after: Cursor, tenant_id: int | None) -> Page:
        """The next events, of all tenants or of one."""
        key = {"after_xid": after.xid, "after_run_id": after.run_id, "after_number": after.number}
        async with self._runtime.db.read() as conn:
            if tenant_id is None:
                rows = await conn.many(statements.events_of_all, RunEvent, page_size=PAGE_SIZE, **key)
            else:
                rows = await conn.many(
                    statements.events_of_tenant, RunEvent, page_size=PAGE_SIZE, tenant_id=tenant_id, **key
                )
        return Page(rows, is_full=len(rows) == PAGE_SIZE)
