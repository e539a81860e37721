"""Errors of GraphQL: the portal's own tree with its codes, and nothing of what is ours alone."""

from __future__ import annotations

from typing import Any

import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from app import errors
from app.errors import PortalError

log = structlog.get_logger(__name__)


def shown(failure: GraphQLError, request_id: str | None) -> dict[str, Any]:
    """An error as callers read it; ``extensions.code`` is the code that the same error has anywhere else.

    What is our fault is logged, and told without its insides.
    """
    error = portal_error(failure)
    if error is None:
        cause = failure.original_error or failure
        log.error("graphql_field_failed", path=failure.path, request_id=request_id, exc_info=cause)
        error = PortalError()
    told: dict[str, Any] = {"message": message_of(error)}
    if failure.locations:
        told["locations"] = [{"line": place.line, "column": place.column} for place in failure.locations]
    if failure.path:
        told["path"] = failure.path
    told["extensions"] = extensions_of(error, request_id)
    return told


def message_of(error: PortalError) -> str:
    """What people read: with what would help, except where programs compare the text."""
    is_alone = isinstance(error, errors.DocumentError | errors.PersistedDocumentNotFoundError)
    return error.message if is_alone else error.detail


def portal_error(failure: GraphQLError) -> PortalError | None:
    """The error of the portal's tree that it stands for; None for a failure of ours."""
    cause: BaseException | None = failure
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, PortalError):
        return cause
    if isinstance(cause, GraphQLSyntaxError) or failure.path is None:
        return errors.DocumentError(reason=failure.message)
    # Arguments are looked at while the document runs, and the library names where in the document they stand.
    if isinstance(cause, GraphQLError) and cause.nodes:
        return errors.DocumentError(reason=cause.message)
    return None


def extensions_of(error: PortalError, request_id: str | None) -> dict[str, Any]:
    """What programs read of an error."""
    told: dict[str, Any] = {"code": error.code, "status": error.status}
    if request_id is not None:
        told["requestId"] = request_id
    if error.remedy:
        told["remedy"] = error.remedy
    if isinstance(error, errors.ValidationError):
        told["fields"] = [{"loc": list(one.path), "msg": one.message, "type": one.kind} for one in error.fields]
    return told | {name: value for name, value in error.values.items() if name not in told and value is not None}


def told_of(error: PortalError, request_id: str | None) -> dict[str, Any]:
    """An error that belongs to no place in a document, as callers read it."""
    return {"message": error.detail, "extensions": extensions_of(error, request_id)}
