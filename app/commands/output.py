"""How commands answer: a table for a person or one JSON object for a program, and errors in one line."""

from __future__ import annotations

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
    OperatorNotFoundError,
    PlanNameNotFoundError,
    PortalError,
    SettingsError,
    TenantNotFoundError,
    ValidationError,
)

FAILED = 1
# SQLSTATE classes by which PostgreSQL refuses a connection: who asks, and for which database.
REFUSALS = ("28", "3D")
# What the caller can mend by calling differently: wrong options, and names that nothing has.
MISUSED = 2
# Where a field is given by an option that has another name.
OPTIONS = {"password": "--password-stdin"}
MISUSES = (
    CodeNotFoundError,
    DeviceNotFoundError,
    OperatorNotFoundError,
    PlanNameNotFoundError,
    TenantNotFoundError,
    ValidationError,
)


class CommandFailedError(Exception):
    """A command cannot do its work for a reason that only the command line has."""

    def __init__(self, code: str, message: str, exit_code: int = FAILED) -> None:
        self.code = code
        self.exit_code = exit_code
        super().__init__(message)


def answer(as_json: bool, result: Mapping[str, Any], *shown: RenderableType) -> None:
    """Print a command's result: the JSON object, or what a person reads instead."""
    console = Console()
    if as_json:
        console.out(
            orjson.dumps(result, option=orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS).decode(), highlight=False
        )
        return
    for part in shown:
        console.print(part, soft_wrap=not isinstance(part, Table))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table whose cells are shown as they are; None is an empty cell."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*("" if cell is None else escape(cell) for cell in row))
    return drawn


def escape(text: object) -> str:
    """Text that is not markup, whatever an operator called a thing."""
    return str(text).replace("[", r"\[")


def report(failure: Exception, *, as_json: bool) -> int:
    """Print an error as one line, or one JSON object, on standard error; answers the exit code.

    Where it is not one of ours, the traceback is shown with PORTAL_LOG_LEVEL=debug.
    """
    code, message, detail = _told(failure)
    console = Console(stderr=True)
    if as_json:
        told = {"errorCode": code, "message": message, "detail": detail}
        console.out(orjson.dumps(told).decode(), highlight=False)
    else:
        console.print(" ".join(detail.split()), style="red", markup=False, highlight=False, soft_wrap=True)
    if os.environ.get("PORTAL_LOG_LEVEL", "").lower() == "debug":
        console.print_exception()
    if isinstance(failure, CommandFailedError):
        return failure.exit_code
    return MISUSED if isinstance(failure, (*MISUSES, CycloptsError, UnicodeEncodeError)) else FAILED


def _told(failure: Exception) -> tuple[str, str, str]:
    """Code, message and detail of any exception."""
    does_not_answer = isinstance(failure, DatabaseUnavailableError) and not isinstance(failure, DatabaseConflictError)
    if does_not_answer or _is_refusal(failure):
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
    if isinstance(failure, CycloptsError | UnicodeEncodeError):
        message = str(failure) if isinstance(failure, CycloptsError) else "What was given is not text in UTF-8."
        return "usage", message, f"{message} See: portal --help"
    # Here, because the command that starts the server needs no SQLAlchemy before its workers have begun to import it.
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
    """What was at the bottom of it, in the words of whoever said no, without the statement."""
    cause = _bottom(failure)
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return (text.splitlines() or [""])[0].strip().rstrip(".") or type(cause).__name__


def _bottom(failure: BaseException) -> BaseException:
    while deeper := (getattr(failure, "orig", None) or failure.__cause__):
        failure = deeper
    return failure


def _is_refusal(failure: BaseException) -> bool:
    return str(getattr(_bottom(failure), "sqlstate", "")).startswith(REFUSALS)
