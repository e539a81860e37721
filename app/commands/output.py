"""The output of commands: text or a table, or one JSON object; and errors in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from cyclopts import CycloptsError
from rich.console import Console, RenderableType
from rich.table import Table

from app.errors import (
    CodeNotFoundError,
    DatabaseConflictError,
    DatabaseUnavailableError,
    DeviceNotFoundError,
    HistoryNotFoundError,
    OperatorNotFoundError,
    PlanNameNotFoundError,
    PortalError,
    ProjectNotFoundError,
    SettingsError,
    StripeEventNotFoundError,
    TenantNotFoundError,
    ValidationError,
)

FAILED = 1
# SQLSTATE classes of refused connections: wrong user or password, unknown database.
REFUSALS = ("28", "3D")
# What PgBouncer refuses, and no server does.
POOLER_ADVICE = ", as a pooler says; set PORTAL_DATABASE_POOLER to its address, and this one to the server's own"
# The exit code for errors that the user can fix by calling differently: wrong options, or
# names that do not exist.
MISUSED = 2
# Where a field is given by an option that has another name.
OPTIONS = {"password": "--password-stdin"}
MISUSES = (
    CodeNotFoundError,
    DeviceNotFoundError,
    HistoryNotFoundError,
    OperatorNotFoundError,
    PlanNameNotFoundError,
    ProjectNotFoundError,
    StripeEventNotFoundError,
    TenantNotFoundError,
    ValidationError,
)


class CommandFailedError(Exception):
    """A failure that only commands have; the use cases have no error for it."""

    def __init__(self, code: str, message: str, exit_code: int = FAILED) -> None:
        self.code = code
        self.exit_code = exit_code
        super().__init__(message)


def answer(as_json: bool, result: Mapping[str, Any], *parts: RenderableType) -> None:
    """Print a command's result: ``result`` as a JSON object, or else ``parts`` as text."""
    console = Console()
    if as_json:
        console.out(_json(console, result), highlight=False)
        return
    for part in parts:
        console.print(part, soft_wrap=not isinstance(part, Table))


def _json(console: Console, value: Mapping[str, Any]) -> str:
    """The value as JSON; letters are escaped where the output is not in UTF-8, so that every reader gets the same."""
    text = orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    return text if console.encoding.startswith("utf") else json.dumps(json.loads(text), separators=(",", ":"))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table; markup in its cells is escaped, and None is an empty cell."""
    rich_table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        rich_table.add_column(column, overflow="fold")
    for row in rows:
        rich_table.add_row(*("" if cell is None else escape(cell) for cell in row))
    return rich_table


def escape(text: object) -> str:
    """Escape markup, because names that users choose may contain brackets."""
    return str(text).replace("[", r"\[")


def report(failure: Exception, *, as_json: bool) -> int:
    """Print an error as one line, or as one JSON object, on standard error; returns the exit code.

    With PORTAL_LOG_LEVEL=debug it prints the traceback too.
    """
    code, message, detail = _description(failure)
    console = Console(stderr=True)
    if as_json:
        error = {"errorCode": code, "message": message, "detail": detail}
        console.out(_json(console, error), highlight=False)
    else:
        console.print(" ".join(detail.split()), style="red", markup=False, highlight=False, soft_wrap=True)
    if os.environ.get("PORTAL_LOG_LEVEL", "").lower() == "debug":
        console.print_exception()
    if isinstance(failure, CommandFailedError):
        return failure.exit_code
    return MISUSED if isinstance(failure, (*MISUSES, CycloptsError, UnicodeError)) else FAILED


def _description(failure: Exception) -> tuple[str, str, str]:
    """The code, message and detail of an exception."""
    is_outage = isinstance(failure, DatabaseUnavailableError) and not isinstance(failure, DatabaseConflictError)
    if is_outage or _is_refusal(failure):
        code = DatabaseUnavailableError.code
        message = f"The database does not answer: {reason_of(failure)}."
        return code, message, f"{message} Check PORTAL_DATABASE_URL, or ask: portal doctor"
    if isinstance(failure, SettingsError):
        variable = failure.values["variable"]
        return failure.code, failure.message, failure.message + (f" (environment: {variable})" if variable else "")
    if isinstance(failure, PortalError):
        return failure.code, *(_of_options(failure) if isinstance(failure, ValidationError) else _words(failure))
    if isinstance(failure, CommandFailedError):
        return failure.code, str(failure), str(failure)
    if isinstance(failure, CycloptsError | UnicodeError):
        message = str(failure) if isinstance(failure, CycloptsError) else "What was given is not text in UTF-8."
        return "usage", message, f"{message} See: portal --help"
    # Imported here, because ``portal serve`` needs no SQLAlchemy until its workers import it.
    from sqlalchemy.exc import SQLAlchemyError

    name = type(failure).__name__
    reason = reason_of(failure) if isinstance(failure, SQLAlchemyError | OSError) else ""
    message = f"{name}: {reason}" if reason else f"Unexpected {name}"
    return "internal_error", message, f"{message}; run again with PORTAL_LOG_LEVEL=debug to see where"


def _words(error: PortalError) -> tuple[str, str]:
    return error.message, error.detail


def _of_options(error: ValidationError) -> tuple[str, str]:
    """The first wrong field, as the option by which it is given."""
    name, wrong = error.fields[0].name, error.fields[0].message
    message = f"{OPTIONS.get(name) or '--' + name.replace('_', '-')}: {wrong}"
    return message, message


def reason_of(failure: BaseException) -> str:
    """The message of the first cause, such as the driver's, without the SQL statement."""
    cause = _root_cause(failure)
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    reason = (text.splitlines() or [""])[0].strip().rstrip(".") or type(cause).__name__
    return reason + POOLER_ADVICE if reason.startswith("unsupported startup parameter") else reason


def _root_cause(failure: BaseException) -> BaseException:
    while cause := (getattr(failure, "orig", None) or failure.__cause__):
        failure = cause
    return failure


def _is_refusal(failure: BaseException) -> bool:
    return str(getattr(_root_cause(failure), "sqlstate", "")).startswith(REFUSALS)
