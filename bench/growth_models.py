"""The projects of a tenant that has grown, and what their models were called for, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from app.calendar import day_of
from sql.folding import joined_key, key
from sql.tables.llm import AGENT_TYPES

PROJECT_COLUMNS = (
    "project_id tenant_id name client_name description custom_instructions folded_name searched is_active"
    " priority created_at updated_at created_by"
)
CALL_COLUMNS = (
    "request_id tenant_id project_id agent_type provider model input_tokens cached_input_tokens output_tokens cost"
    " duration_ms success cached error_message task_description created_at day"
)
# What was called so many days ago at most.
CALL_DAYS = 60
# One tenant calls a lot, the same in a database of any size, so that a filter of the log finds more calls than are
# counted in a small one too: within a week more than ten thousand, and as many failed ones and ones from the cache.
BUSY_CALLS = 60_000
BUSY_DAYS = 21
BUSY_AGENT, BUSY_PROVIDER, BUSY_MODEL = "coder", "gemini", "gemini-2.5-flash"
MODELS = (
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-2.5-pro"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-5-mini"),
    ("anthropic", "claude-3-5-sonnet-20250219"),
)
PRIORITIES = ("low", "normal", "normal", "high", "critical")
WORKS = ("Shop", "Portal", "Booking", "Reports", "Intranet", "Catalogue", "Helpdesk")


class Owner(NamedTuple):
    """A tenant as its projects need it; ``now`` is the end of everything that has happened."""

    id: int
    number: int
    name: str
    born: datetime
    now: datetime


def project_ids(number: int) -> list[str]:
    """One project, or two for every other tenant."""
    return [f"growth-{number:06}-{place + 1}" for place in range(1 + number % 2)]


def project_rows(owner: Owner, draw: Random) -> Iterator[tuple[Any, ...]]:
    """The tenant's projects."""
    for project_id in project_ids(owner.number):
        at = owner.born + (owner.now - owner.born) * (0.2 + 0.6 * draw.random())
        work = draw.choice(WORKS)
        told = (f"{work} of {owner.name}", owner.name if draw.random() < 0.5 else None, f"A {work.lower()}", None)
        folded = (key(told[1], told[0]), joined_key(project_id, *told))
        yield (project_id, owner.id, *told, *folded, draw.random() < 0.8, draw.choice(PRIORITIES), at, at, "growth")


def call_rows(owner: Owner, draw: Random, count: int, zone: ZoneInfo) -> Iterator[tuple[Any, ...]]:
    """So many calls of the last days: one in twenty has failed, one in twenty came from the cache."""
    projects: Sequence[str] = project_ids(owner.number)
    for place in range(count):
        at = max(owner.born, owner.now - timedelta(days=CALL_DAYS * draw.random(), microseconds=1))
        provider, model = draw.choice(MODELS)
        success, cached = draw.random() >= 0.05, draw.random() < 0.05
        tokens = (100 + int(draw.random() * 8_000), 0, 10 + int(draw.random() * 2_000))
        cost, duration = (0, 0) if cached else (tokens[0] * 1_250 + tokens[2] * 5_000, 200 + int(draw.random() * 9_000))
        whose = (f"growth-{owner.number:06}-{place}", owner.id, draw.choice(projects), draw.choice(AGENT_TYPES))
        ended = (success or cached, cached, None if success or cached else "The provider did not answer.")
        told = (provider, model, *tokens, cost, duration, *ended, "Write what was described")
        yield (*whose, *told, at, day_of(at, zone))


def busy_id(place: int) -> str:
    """The request id of one of the busy tenant's calls."""
    return f"growth-busy-{place:06}"


def busy_call_rows(owner: Owner, count: int, zone: ZoneInfo) -> Iterator[tuple[Any, ...]]:
    """So many calls of one agent and one provider, evenly over the last days: a quarter failed, a quarter cached."""
    project_id = project_ids(owner.number)[0]
    for place in range(count):
        at = owner.now - timedelta(days=BUSY_DAYS * (place + 0.5) / count)
        success, cached = place % 4 != 0, place % 4 == 1
        cost, duration = (0, 0) if cached else (1_000_000, 2_000)
        whose = (busy_id(place), owner.id, project_id, BUSY_AGENT, BUSY_PROVIDER, BUSY_MODEL)
        ended = (success, cached, None if success else "The provider did not answer.")
        yield (*whose, 1_000, 0, 100, cost, duration, *ended, "Write what was described", at, day_of(at, zone))
