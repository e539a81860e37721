"""What happens in a run of a tenant's project, as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import orjson
from pydantic import Field

from app import errors
from app.access.callers import TENANT
from app.context import Context
from app.errors import ValidationError
from app.numerals import read_numeral
from app.services.runs.run_events import LAST_NUMBER, RunEvent
from app.services.runs.watching import watch_own_run
from blueprints.tenant_api import api
from blueprints.web.event_streams import MEDIA_TYPE, EventStream, event_of
from blueprints.web.fields import RequestModel
from blueprints.web.project_fields import PROJECT_ID_IN_PATH
from sql.bounds import MAX_ID

LAST_EVENT_ID: Final = "Last-Event-ID"
# A client that was cut off for one of these may come back at once; otherwise it is told that it need not.
MAY_COME_BACK: Final = frozenset({"stopping", "interrupted"})


class WatchQuery(RequestModel):
    """Which run, and from where on."""

    run: Annotated[
        int | None, Field(ge=1, le=MAX_ID, description="The run's id; without one it is the project's newest run.")
    ] = None
    after: Annotated[
        int,
        Field(
            ge=0,
            le=LAST_NUMBER,
            description=f"The number of the last event that is known: the same as {LAST_EVENT_ID}, which comes first.",
        ),
    ] = 0


@api.operation(
    "GET",
    "/projects/{project_id}/events",
    caller=TENANT,
    query=WatchQuery,
    answers=MEDIA_TYPE,
    errors=(
        errors.ProjectNotFoundError,
        errors.NotYetRunError,
        errors.RunNotFoundError,
        errors.TooManyWatchersError,
        errors.WatchersFullError,
    ),
    path_parameters=PROJECT_ID_IN_PATH,
    optional_headers={LAST_EVENT_ID: "The number of the last event that is known; what follows it is told."},
)
async def watch_run(ctx: Context, query: WatchQuery, headers: Mapping[str, str], project_id: str) -> EventStream:
    """Watch a run: server-sent events, the first ones at once and the others as they happen.

    Each has its number in the run as `id`, its kind as `event`, and one JSON object as `data`: `number`, `kind`,
    `message`, `at`, the `run` and the `task` as they were then. The last one is an `end`, after which a client need not
    come back; whoever is cut off before it comes back with the last number.
    """
    after = _number(headers[LAST_EVENT_ID]) if LAST_EVENT_ID in headers else query.after
    return EventStream(await watch_own_run(ctx, project_id, run_id=query.run, after=after), _written, _last_words)


def _number(text: str) -> int:
    try:
        return read_numeral(text, LAST_NUMBER)
    except ValueError:
        raise ValidationError.of(LAST_EVENT_ID, "is not the number of an event", kind="int_parsing") from None


def _written(event: RunEvent) -> bytes:
    return event_of(event.kind, event.document, event.number)


def _last_words(end: str) -> bytes:
    return b"" if end in MAY_COME_BACK else event_of("end", orjson.dumps({"reason": end}))
