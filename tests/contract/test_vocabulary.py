"""The closed vocabularies: permissions that open something, errors that are raised, events that are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

from support.contract import OPERATIONS

import app
import blueprints
from app.access.permissions import Permission, Role
from app.context import ActorType
from app.errors import PortalError
from app.events import EventType
from sql.tables import platform_events

DOCS = Path(__file__).parents[2] / "docs"
# Branches of the tree: what is raised is a leaf.
BRANCHES = {"CodeError", "ConflictError", "DeniedError", "RequestError", "UnauthenticatedError"}


def source(package: ModuleType, *, without: str = "") -> str:
    """The text of all modules of a package, but for one folder or file."""
    folder = Path(next(iter(package.__path__)))
    return "\n".join(
        path.read_text()
        for path in folder.rglob("*.py")
        if not without or without not in path.relative_to(folder).parts
    )


def tree(root: type[PortalError] = PortalError) -> Iterator[type[PortalError]]:
    """The root and every error below it that is ours."""
    yield root
    for child in root.__subclasses__():
        if child.__module__.startswith("app."):
            yield from tree(child)


def test_every_permission_opens_an_operation() -> None:
    opening = {operation.caller.permission for operation in OPERATIONS}

    assert set(Permission) - opening == set()


def test_every_permission_belongs_to_a_role() -> None:
    assert set().union(*(role.permissions for role in Role)) == set(Permission)
    assert Role.READ_ONLY.permissions < Role.OPERATOR.permissions < Role.OWNER.permissions


def test_every_error_is_raised_somewhere() -> None:
    raised = source(app, without="errors") + source(blueprints)

    silent = {error.__name__ for error in tree() if not re.search(rf"\b{error.__name__}\b", raised)}
    assert silent - BRANCHES == set()


def test_every_kind_of_actor_may_be_stored_and_is_documented() -> None:
    kinds = set(get_args(ActorType))

    assert set(platform_events.c.actor_type.type.enums) == kinds
    section = (DOCS / "administering.md").read_text().partition("| `actor_type` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == kinds


def test_every_event_is_told_by_something() -> None:
    told = set(re.findall(r"EventType\.([A-Z_]+)", source(app, without="events.py")))

    assert {event.value for event in EventType if event.name not in told} == set()


def test_every_permission_and_every_event_is_documented() -> None:
    documented = "\n".join(page.read_text() for page in DOCS.glob("*.md"))

    assert [word.value for word in (*Permission, *EventType) if f"`{word.value}`" not in documented] == []
