"""The simulator's tables and statements, in a SQLite file of its own that no other part reads."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

# Another number here begins with an empty file: what it holds is a rehearsal, and nobody migrates it.
VERSION = 1

metadata = MetaData()

objects = Table(
    "objects",
    metadata,
    # In the order in which they were made, also within a second.
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("kind", String(50), nullable=False),
    Column("customer", String(255)),
    Column("created", Integer, nullable=False),
    # The moment, by the simulator's clock, at which something happens to it by itself.
    Column("due_at", Integer),
    # As the API answers it, and what only the simulator knows of it.
    Column("body", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Index("ix_objects_kind_customer", "kind", "customer", "sequence"),
    Index("ix_objects_due_at", "due_at", "sequence"),
)

events = Table(
    "events",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("type", String(100), nullable=False),
    Column("object_id", String(255), nullable=False),
    Column("created", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # The status of the last answer; null before it, and where there was none.
    Column("status", Integer),
    # By the machine's clock; null once it is delivered, or given up.
    Column("next_attempt_at", Integer),
    Index("ix_events_next_attempt_at", "next_attempt_at", "sequence"),
)

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
)

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ahead_seconds", Integer, nullable=False),
    CheckConstraint("id = 1"),
)

object_by_id = select(objects.c.kind, objects.c.body, objects.c.notes).where(objects.c.id == bindparam("id"))

_object = insert(objects)
put_object = _object.on_conflict_do_update(
    index_elements=[objects.c.id],
    set_={name: _object.excluded[name] for name in ("customer", "due_at", "body", "notes")},
)

ids_of_kind = (
    select(objects.c.id)
    .where(
        objects.c.kind == bindparam("kind"),
        or_(bindparam("customer", type_=String).is_(None), objects.c.customer == bindparam("customer", type_=String)),
    )
    .order_by(objects.c.sequence.desc())
)

first_due = (
    select(objects.c.id, objects.c.due_at)
    .where(objects.c.due_at <= bindparam("until"))
    .order_by(objects.c.due_at, objects.c.sequence)
    .limit(1)
)

insert_event = insert(events)

event_by_id = select(events.c.body).where(events.c.id == bindparam("id"))

newest_events = (
    select(events.c.id, events.c.type, events.c.created, events.c.attempts, events.c.status, events.c.next_attempt_at)
    .order_by(events.c.sequence.desc())
    .limit(bindparam("limit"))
)

event_bodies = select(events.c.body).order_by(events.c.sequence.desc()).limit(bindparam("limit"))

# Takes the event whose turn it is; while it is on its way nobody else takes it.
take_event = (
    update(events)
    .where(
        events.c.sequence
        == select(events.c.sequence)
        .where(events.c.next_attempt_at <= bindparam("now"))
        .order_by(events.c.sequence)
        .limit(1)
        .scalar_subquery()
    )
    .values(next_attempt_at=bindparam("until"), attempts=events.c.attempts + 1)
    .returning(events.c.id, events.c.body, events.c.attempts)
)

set_event = (
    update(events)
    .where(events.c.id == bindparam("of_id"))
    .values(status=bindparam("status"), next_attempt_at=bindparam("next_attempt_at"))
)

undelivered = select(func.count(), func.min(events.c.next_attempt_at)).where(events.c.next_attempt_at.is_not(None))

kept_answer = select(kept_answers.c.fingerprint, kept_answers.c.status, kept_answers.c.body).where(
    kept_answers.c.key == bindparam("key")
)

keep_answer = insert(kept_answers)

seconds_ahead = select(clock.c.ahead_seconds).where(clock.c.id == 1)

_moved = insert(clock)
set_seconds_ahead = _moved.on_conflict_do_update(
    index_elements=[clock.c.id], set_={"ahead_seconds": _moved.excluded.ahead_seconds}
)
