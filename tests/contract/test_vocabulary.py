"""The closed vocabularies: permissions that open something, errors that are raised, events that are recorded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from support.contract import OPERATIONS

from app.access.permissions import Permission, Role
from app.context import ActorType
from app.errors import PortalError
from app.events import EventType
from sql.tables import platform_events

HOUSE = Path(__file__).parents[2]
DOCS = HOUSE / "docs"
# Branches of the tree: what is raised is a leaf.
BRANCHES = {"CodeError", "ConflictError", "DeniedError", "UnauthenticatedError"}


def parsed(*packages: str) -> list[ast.Module]:
    """All modules of these packages; what declares the errors raises none."""
    paths = [path for package in packages for path in (HOUSE / package).rglob("*.py")]
    return [ast.parse(path.read_text()) for path in paths if not path.is_relative_to(HOUSE / "app" / "errors")]


def names(expression: ast.expr | None) -> Iterator[str]:
    """The last name of an expression, or that of each of its alternatives."""
    if isinstance(expression, ast.IfExp):
        yield from (*names(expression.body), *names(expression.orelse))
    elif isinstance(expression, ast.Name):
        yield expression.id
    elif isinstance(expression, ast.Attribute):
        yield expression.attr


def raised_names(module: ast.AST) -> Iterator[str]:
    """Names that a module raises, calls, or gives to a Verdict, which raises its denial; an import is none of these."""
    for node in ast.walk(module):
        if isinstance(node, ast.Raise):
            yield from names(node.exc)
        elif isinstance(node, ast.Call):
            called = set(names(node.func))
            yield from called
            if "Verdict" in called:
                yield from (name for argument in node.args[:1] for name in names(argument))


def recorded_events(module: ast.AST) -> set[str]:
    """The event types of which a module makes an Event, directly, by replacing another's type or by a variable."""
    assigned: dict[str, set[str]] = {}
    types: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Assign):
            for target, value in pairs(node.targets[0], node.value):
                assigned.setdefault(target, set()).update(event_types(value))
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not {"Event", "replace"} & set(names(node.func)):
            continue
        values = [keyword.value for keyword in node.keywords if keyword.arg == "type"]
        values += node.args[:1] if "Event" in names(node.func) else []
        for value in values:
            types |= event_types(value)
            types |= assigned.get(value.id, set()) if isinstance(value, ast.Name) else set()
    return types


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The names that an assignment gives a value, and each one's value."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for name, part in zip(target.elts, value.elts, strict=True):
            yield from pairs(name, part)
    elif isinstance(target, ast.Name):
        yield target.id, value


def event_types(expression: ast.expr) -> set[str]:
    """The names of the event types that an expression is, or that its alternatives are."""
    if isinstance(expression, ast.IfExp):
        return event_types(expression.body) | event_types(expression.orelse)
    is_type = isinstance(expression, ast.Attribute) and ast.unparse(expression.value) == "EventType"
    return {expression.attr} if is_type else set()


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
    raised = {name for module in parsed("app", "blueprints") for name in raised_names(module)}

    assert {error.__name__ for error in tree()} - raised == BRANCHES


@pytest.mark.parametrize(
    "mention",
    [
        "from app.errors import CodeUnknownError",
        "errors = (CodeUnknownError,)",
        "isinstance(denial, CodeUnknownError)",
        "def lookup() -> CodeUnknownError: ...",
    ],
)
def test_an_error_that_is_only_mentioned_is_not_raised(mention: str) -> None:
    assert "CodeUnknownError" not in set(raised_names(ast.parse(mention)))


def test_every_kind_of_actor_may_be_stored_and_is_documented() -> None:
    kinds = set(get_args(ActorType))

    assert set(platform_events.c.actor_type.type.enums) == kinds
    section = (DOCS / "administering.md").read_text().partition("| `actor_type` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == kinds


def test_every_event_is_recorded_by_something() -> None:
    recorded = set().union(*(recorded_events(module) for module in parsed("app")))

    assert recorded == {event.name for event in EventType}


@pytest.mark.parametrize(
    "mention",
    [
        "LOOKS = {EventType.USER_LOGIN: '[LOGIN]'}",
        "minor = frozenset({EventType.USER_LOGIN})",
        "kind = EventType.USER_LOGIN; print(kind)",
    ],
)
def test_an_event_that_is_only_mentioned_is_not_recorded(mention: str) -> None:
    assert recorded_events(ast.parse(mention)) == set()


def test_every_permission_and_every_event_is_documented() -> None:
    documented = "\n".join(page.read_text() for page in DOCS.glob("*.md"))

    assert [word.value for word in (*Permission, *EventType) if f"`{word.value}`" not in documented] == []
