"""Records are filled by position: a statement's columns have the names of the record's fields, in their order."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Executable, bindparam, select
from support.variants import variants

from app.database.connections import moment
from app.database.fitness import Fitness
from app.services.ledger.standing import Standing
from app.services.licensing.code_list import ListedCode
from app.services.licensing.device_list import ListedDevice
from app.services.licensing.heartbeat import Beat
from app.services.licensing.refresh import Situation
from app.services.operators.identity import ApiToken, OperatorSession
from app.services.progress.records import TaskProgress
from app.services.runs.records import ListedRun
from app.services.runs.run_events import RunEvent
from app.services.tenants.sessions import Session
from app.services.usage.by_day import DayOfUsage
from sql.lists import account_list, tenant_relations
from sql.statements import (
    api_tokens,
    audit,
    database_server,
    licensing,
    operators,
    run_events,
    run_progress,
    sign_in,
    usage,
)
from sql.tables import devices

HOUSE = Path(__file__).parents[2]
FETCHES = {"one", "maybe", "many"}
SCALARS: set[Any] = {int, str, moment}

# Records that are filled from a row by hand: their statement, and how many of its columns stand before them.
BY_HAND: dict[type[Any], tuple[Executable, int]] = {
    Fitness: (database_server.fitness, 0),
    DayOfUsage: (tenant_relations.usage_of_tenants, 1),
    ListedCode: (tenant_relations.codes_of_tenants, 1),
    ListedDevice: (tenant_relations.devices_of_tenants, 1),
    ApiToken: (api_tokens.api_tokens_by_hash, 1),
    RunEvent: (run_events.events_of_run, 2),
    OperatorSession: (operators.sessions_by_token, 1),
    Session: (sign_in.sessions_by_token, 1),
    Situation: (licensing.refresh_situations, 3),
}
# What is called with parts of something else than a row; ``into`` is the parameter of what is resolved here.
NO_ROW = {
    "CodePrice",
    "CreatedOnDay",
    "FallbackModel",
    "TrendDay",
    "ValidationError",
    "cls",
    "into",
    "operation",
    "partial",
}


class Site(NamedTuple):
    """One place where rows become records: ``skipped`` columns stand before the record's own."""

    where: str
    statements: tuple[Executable, ...]
    record: type[Any]
    skipped: int = 0


def calls(module: ast.Module) -> Iterator[tuple[ast.Call, ast.AST]]:
    """Every call, with the innermost function around it."""
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    around = {call: function for function in functions for call in ast.walk(function) if isinstance(call, ast.Call)}
    yield from ((node, around.get(node, module)) for node in ast.walk(module) if isinstance(node, ast.Call))


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((HOUSE / "app").rglob("*.py")):
        yield path.relative_to(HOUSE), ast.parse(path.read_text())


def module_at(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.with_suffix("").parts))


def value_of(expression: ast.expr, module: ModuleType) -> Any:
    """What a name of the module, or a member of one, stands for; None for what only exists while a function runs."""
    if isinstance(expression, ast.Attribute):
        return getattr(value_of(expression.value, module), expression.attr, None)
    return getattr(module, expression.id, None) if isinstance(expression, ast.Name) else None


def statements_of(
    expression: ast.expr, module: ModuleType, function: ast.AST, assigned_to: str = ""
) -> Iterator[Executable]:
    """All that an expression may stand for: a statement, each variant that a function makes, or what a variable is.

    An expression that is ``assigned_to`` a variable and may be that variable again adds nothing.
    """
    if isinstance(expression, ast.IfExp):
        for branch in (expression.body, expression.orelse):
            yield from statements_of(branch, module, function, assigned_to)
    elif isinstance(expression, ast.Call):
        if (factory := value_of(expression.func, module)) is not None:
            yield from (statement for _, statement in variants(inspect.unwrap(factory)))
    elif isinstance(statement := value_of(expression, module), Executable):
        yield statement
    elif isinstance(expression, ast.Name) and expression.id != assigned_to:
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == expression.id:
                yield from statements_of(node.value, module, function, expression.id)


def site_of(path: Path, call: ast.Call, function: ast.AST) -> Site | None:
    """Where a call makes records of rows; the test that asks fails if it cannot say of which statement."""
    where = f"{path}:{call.lineno}"
    if isinstance(call.func, ast.Attribute) and call.func.attr in FETCHES and len(call.args) == 2:
        statement, record, skipped = *call.args, 0
    elif isinstance(call.func, ast.Name) and call.func.id == "read_page":
        awaited, record = call.args
        assert isinstance(awaited, ast.Await), where
        assert isinstance(awaited.value, ast.Call), where
        statement, skipped = awaited.value.args[0], 1
    else:
        return None
    module = module_at(path)
    resolved = builtins.__dict__.get(ast.unparse(record)) or value_of(record, module)
    return Site(where, tuple(statements_of(statement, module, function)), resolved, skipped)


@functools.cache
def sites() -> list[Site]:
    return [
        site
        for path, tree in modules()
        for call, function in calls(tree)
        if (site := site_of(path, call, function)) is not None
    ]


def columns_of(statement: Any) -> list[str]:
    return [getattr(column, "name", "") for column in statement.exported_columns]


def is_maker(record: Any) -> bool:
    return inspect.isclass(record) or record in SCALARS


def is_filled_by(record: type[Any], columns: list[str]) -> bool:
    """Whether each column is the field at its place; fields without a column have a default."""
    if record in SCALARS:
        return len(columns) == 1
    fields = inspect.signature(record).parameters
    rest = list(fields.values())[len(columns) :]
    return list(fields)[: len(columns)] == columns and all(field.default is not field.empty for field in rest)


def test_every_place_where_rows_become_records_is_understood() -> None:
    unclear = [site.where for site in sites() if not site.statements or not is_maker(site.record)]

    assert unclear == []
    assert len(sites()) > 80


def test_columns_are_the_fields_of_the_record_that_they_fill() -> None:
    wrong = {
        (site.where, site.record.__name__, tuple(columns))
        for site in sites()
        for statement in site.statements
        if not is_filled_by(site.record, columns := columns_of(statement)[site.skipped :])
    }

    assert wrong == set()


@pytest.mark.parametrize("record", BY_HAND, ids=lambda record: record.__name__)
def test_columns_are_the_fields_of_a_record_that_is_filled_by_hand(record: type[Any]) -> None:
    statement, skipped = BY_HAND[record]

    assert columns_of(statement)[skipped:] == list(inspect.signature(record).parameters)


def test_no_other_record_is_filled_by_hand() -> None:
    spread = {
        ast.unparse(call.func)
        for path, tree in modules()
        for call, _ in calls(tree)
        if isinstance(call.func, ast.Name)
        and any(isinstance(argument, ast.Starred) for argument in call.args)
        and (inspect.isclass(value := value_of(call.func, module_at(path))) or value is None)
        and not hasattr(builtins, call.func.id)
    }

    assert spread == {record.__name__ for record in BY_HAND} | NO_ROW


def test_rows_that_are_compared_as_they_are_have_their_columns_in_that_order() -> None:
    assert columns_of(licensing.record_heartbeats) == list(Beat._fields)
    assert columns_of(usage.insert_usage_events) == ["tenant_id", "device_id", "event_id"]
    # What is sealed, and what is read again when it is proved.
    assert columns_of(audit.events_to_seal)[1:] == columns_of(audit.sealed_events)[4:]


@pytest.mark.parametrize(
    ("statement", "record"),
    [
        (run_progress.runs_of_projects, ListedRun),
        (run_progress.tasks_of_runs, TaskProgress),
        (run_progress.events_of_runs, RunEvent),
        (account_list.accounts_by_key, Standing),
    ],
)
def test_lists_of_many_have_the_place_before_the_record(statement: Executable, record: type[Any]) -> None:
    assert is_filled_by(record, columns_of(statement)[1:])


class Device(NamedTuple):
    """Stands for any record, its last field for one that has a default."""

    id: int
    label: str
    is_new: bool = False


@pytest.mark.parametrize(
    ("statement", "is_right"),
    [
        (select(devices.c.id, devices.c.label), True),
        (select(devices.c.label, devices.c.id), False),
        (select(devices.c.id), False),
        (select(devices.c.id, devices.c.label, devices.c.is_revoked), False),
        (select(devices.c.id, bindparam("label").label("label"), devices.c.is_revoked.label("is_new")), True),
    ],
)
def test_the_check_finds_a_column_that_would_be_another_field(statement: Executable, is_right: bool) -> None:
    assert is_filled_by(Device, columns_of(statement)) is is_right
