"""An event of a run as watchers see it, and its place in the order of all runs' events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson


class Cursor(NamedTuple):
    """A place in the order in which the events of all runs are read; no event appears later in front of it."""

    xid: int
    run_id: int
    number: int


# Behind every event of a transaction.
LAST_RUN: Final = 2**62
LAST_NUMBER: Final = 2**31 - 1
# Before every event, also those whose numbers were moved below 0 when a database was restored elsewhere.
BEGINNING: Final = Cursor(-(2**62), 0, 0)


@dataclass(frozen=True, eq=False)
class RunEvent:
    """One event, which never changes; ``data`` is the run and the task as they were then, as a JSON object."""

    run_id: int
    number: int
    tenant_id: int
    xid: int
    kind: str
    message: str
    task_id: int | None
    data: str
    created_at: datetime

    @property
    def cursor(self) -> Cursor:
        """Its place among the events of all runs."""
        return Cursor(self.xid, self.run_id, self.number)

    @cached_property
    def shown(self) -> dict[str, Any]:
        """What a watcher is told: number, kind, message, moment, the run and the task as they were then."""
        data = orjson.loads(self.data)
        return {
            "number": self.number,
            "kind": self.kind,
            "message": self.message,
            "at": self.created_at,
            "run": {"id": self.run_id, **data["run"]},
            "task": data["task"],
        }

    @cached_property
    def document(self) -> bytes:
        """The same as JSON, made once for all watchers."""
        document = orjson.dumps(self.shown, option=orjson.OPT_UTC_Z)
        # The text is needed again only for whoever reads the members.
        del self.__dict__["shown"]
        return document
