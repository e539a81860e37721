"""The contract of the HTTP API: each operation as data, and the OpenAPI 3.1 document made from all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from app import errors
from app.access.callers import Caller
from app.errors import PortalError, ValidationError

# How many bytes a body may have: most have a few hundred.
SMALL_BODY = 65_536
# Of what holds prompts, instructions or a thousand ids.
LARGE_BODY = 1_048_576

SCHEMA_REFERENCE = "#/components/schemas/{model}"


ARRIVING_ERRORS = (
    errors.RequestError,
    errors.RequestTimeoutError,
    errors.PayloadTooLargeError,
    errors.BodiesFullError,
)
FIELD_ERRORS = (errors.MalformedBodyError, errors.ValidationError)
IDEMPOTENCY_ERRORS = (
    errors.IdempotencyConflictError,
    errors.IdempotencyRunningError,
    errors.IdempotencyAnswerLostError,
    errors.ValidationError,
)
DATABASE_ERRORS = (errors.DatabaseUnavailableError, errors.OverloadedError, errors.ShuttingDownError)


SECURITY_SCHEMES: dict[str, Any] = {
    "device": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token that activation and refresh answer.",
    },
    "tenantSession": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Session-Token",
        "description": "The session token that signing in answers.",
    },
    "operatorSession": {
        "type": "apiKey",
        "in": "cookie",
        "name": "session",
        "description": "The cookie of a signed-in operator; changes need an Origin that is allowed.",
    },
    "apiToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token with a role, as portal create-token prints it.",
    },
}


SESSION_TOKEN: dict[str, Any] = {
    "name": "X-Session-Token",
    "in": "header",
    "required": True,
    "description": "The session token; one that is not known is answered the same.",
    "schema": {"type": "string", "minLength": 1},
}


@dataclass(frozen=True)
class Operation:
    """One method on one path.

    ``answers`` is the type of the answer, a record or a list of one, a media type where the answer is not JSON, or None
    where there is none; ``errors`` are those of the use case, the caller's and the body's are added.
    """

    method: str
    path: str
    name: str
    summary: str
    description: str
    tag: str
    caller: Caller
    answers: type | str | None
    status: int = 200
    body: type[BaseModel | bytes] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[type[PortalError], ...] = ()
    path_parameters: dict[str, str] = field(default_factory=dict)
    numbers_in_path: frozenset[str] = frozenset()
    # Headers that a request must have, with what each is for.
    headers: dict[str, str] = field(default_factory=dict)
    creates: bool = False
    # Another media type in which the same is answered.
    download: str | None = None
    asks_database: bool = True
    # Answered with the version as ETag; a change may say by If-Match which version it expects.
    versioned: bool = False
    # Headers that a request may have.
    optional_headers: dict[str, str] = field(default_factory=dict)
    # A page shows its refusals as they are: the detail of a 422 is a sentence.
    shown_as_is: bool = False
    # What ``creates`` and does the same when it runs again.
    repeats: bool = False
    # None: as many as any.
    max_body: int | None = SMALL_BODY

    def body_limit(self, of_any: int) -> int:
        """How many bytes the body may have, where any may have so many; 0 where there is none."""
        if self.body is None:
            return 0
        return of_any if self.max_body is None else min(self.max_body, of_any)

    @property
    def is_public(self) -> bool:
        """Whether its answers are for anybody to get and to keep."""
        return self.method == "GET" and self.caller.is_anyone

    def placed(self, failure: ValidationError) -> ValidationError:
        """A refusal as this operation answers it: it says of each field where it came from."""
        return failure.placed(self.place_of, in_sentences=self.shown_as_is)

    def place_of(self, field: str) -> str:
        """Where a field came from that a use case has refused."""
        if field in self.path_parameters:
            return "path"
        if field in self.optional_headers:
            return "header"
        return "query" if self.body is None else "body"

    @property
    def expects_versions(self) -> bool:
        """Whether it changes something that has a version."""
        return self.versioned and self.method != "GET"

    @property
    def json_body(self) -> type[BaseModel] | None:
        """The model of a body that is JSON; None where there is no body, or one that is taken as it is."""
        return self.body if self.body is not None and issubclass(self.body, BaseModel) else None

    @property
    def body_is_optional(self) -> bool:
        """Whether the fields of the body may come as a query instead."""
        return self.body is not None and self.query is not None

    @property
    def all_errors(self) -> list[type[PortalError]]:
        """Every error this operation may answer, by status and code."""
        found = {*self.caller.errors, *self.errors, PortalError}
        if self.asks_database:
            found |= set(DATABASE_ERRORS)
        found |= set(ARRIVING_ERRORS) if self.body else {errors.BodyNotExpectedError}
        if self.headers:
            found.add(errors.ValidationError)
        if self.json_body or self.query:
            found |= set(FIELD_ERRORS)
        if self.creates:
            found |= set(IDEMPOTENCY_ERRORS)
        if self.expects_versions:
            found.add(errors.VersionConflictError)
        return sorted(found, key=lambda error: (error.status, error.code, error.__name__))


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    operations = sorted(operations, key=lambda operation: (operation.path, operation.method))
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Addon portal",
            "version": version("addon-portal"),
            "summary": "License devices, meter usage.",
            "description": "Every error is an RFC 9457 problem document: `errorCode` is stable, `detail` for people.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({operation.tag for operation in operations})],
        "paths": dict(paths),
        "components": {
            "schemas": {**_schemas(operations), **_PROBLEM_SCHEMAS},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": _responses(operation),
    }
    if operation.description:
        described["description"] = operation.description
    if schemes := operation.caller.schemes:
        described["security"] = [{scheme: []} for scheme in schemes]
    if operation.caller.permission is not None:
        described["x-permission"] = operation.caller.permission.value
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "integer", "minimum": 1}
            if name in operation.numbers_in_path
            else {"type": "string", "minLength": 1},
        }
        for name, text in operation.path_parameters.items()
    ]
    parameters += [SESSION_TOKEN] if operation.caller.tenant_token else []
    parameters += _query_parameters(operation) if operation.query else []
    parameters += [
        {"name": name, "in": "header", "required": required, "description": text, "schema": {"type": "string"}}
        for required, headers in ((True, operation.headers), (False, operation.optional_headers))
        for name, text in headers.items()
    ]
    if operation.creates:
        parameters.append(_IDEMPOTENCY_KEY)
    if operation.expects_versions:
        parameters.append(_IF_MATCH)
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = _request_body(operation)
    return described


def _request_body(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {"application/octet-stream": {}}
    if model := operation.json_body:
        content = {"application/json": {"schema": {"$ref": SCHEMA_REFERENCE.format(model=model.__name__)}}}
    size = "request_max_bytes" if operation.max_body is None else str(operation.max_body)
    return {"description": f"At most {size} bytes.", "required": not operation.body_is_optional, "content": content}


_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Yours, new for each thing to create: the same request sent again with it gets the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


_IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of what was read; if it was changed meanwhile, nothing is changed. Absent: any version.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[!-~ ]+$"},
}
_ETAG: dict[str, Any] = {
    "description": "The version of what is answered.",
    "schema": {"type": "string"},
}


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    """The fields as parameters; those that may stand in the body instead are optional."""
    query = operation.query.model_json_schema() if operation.query else {}
    required = set() if operation.body_is_optional else set(query.get("required", ()))
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.pop("description", ""),
            "schema": schema,
        }
        for name, schema in query["properties"].items()
    ]


def _responses(operation: Operation) -> dict[str, Any]:
    answered: dict[str, Any] = {"description": operation.summary}
    if isinstance(operation.answers, str):
        answered["content"] = {operation.answers: {"schema": {"type": "string"}}}
    elif operation.answers is not None:
        record = record_of(operation.answers)
        schema: dict[str, Any] = {"$ref": SCHEMA_REFERENCE.format(model=record.__name__)}
        if record is not operation.answers:
            schema = {"type": "array", "items": schema}
        answered["content"] = {"application/json": {"schema": schema}}
    if operation.download:
        answered["content"][operation.download] = {"schema": {"type": "string"}}
    if operation.versioned and operation.answers is not None:
        answered["headers"] = {"ETag": _ETAG}
    responses: dict[str, Any] = {str(operation.status): answered}
    by_status: dict[int, list[type[errors.PortalError]]] = defaultdict(list)
    for error in operation.all_errors:
        by_status[error.status].append(error)
    for status, classes in by_status.items():
        models = {_problem_model(operation, error) for error in classes}
        schemas = [{"$ref": SCHEMA_REFERENCE.format(model=model)} for model in sorted(models)]
        lines = sorted({f"`{error.code}`: {error.paragraphs()[0]}" for error in classes})
        responses[str(status)] = {
            "description": "\n\n".join(lines),
            "content": {
                "application/problem+json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
            },
        }
    return responses


def record_of(answers: type) -> type:
    """The record that an operation answers, or a list of."""
    record: type = get_args(answers)[0] if get_origin(answers) is list else answers
    return record


def _problem_model(operation: Operation, error: type[PortalError]) -> str:
    """The schema of the problem that tells an error."""
    if error is not errors.ValidationError:
        return "Problem"
    return "FieldsProblem" if operation.shown_as_is else "ValidationProblem"


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    models = {model for operation in operations for model in (operation.json_body, operation.query) if model}
    _, requests = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=SCHEMA_REFERENCE,
    )
    schemas: dict[str, Any] = dict(requests.get("$defs", {}))
    for operation in operations:
        if operation.answers is not None and not isinstance(operation.answers, str):
            schemas |= _answer_schemas(record_of(operation.answers))
    return dict(sorted(schemas.items()))


@cache
def _answer_schemas(answers: type) -> dict[str, Any]:
    schema = TypeAdapter(answers).json_schema(mode="serialization", by_alias=True, ref_template=SCHEMA_REFERENCE)
    parts = schema.pop("$defs", {})
    return {**parts, answers.__name__: schema}


_PROBLEM_PROPERTIES: dict[str, Any] = {
    "type": {"type": "string", "format": "uri-reference"},
    "title": {"type": "string"},
    "status": {"type": "integer"},
    "detail": {"type": "string", "description": "What happened and what would help, for the person who reads it."},
    "errorCode": {"type": "string", "description": "Stable; decide by this."},
    "message": {"type": "string"},
    "remedy": {"type": "string", "description": "What would free the caller; absent if nothing would."},
    "requestId": {"type": "string"},
}
_PROBLEM_REQUIRED = ["type", "title", "status", "detail", "errorCode", "message"]
_WRONG_FIELDS: dict[str, Any] = {
    "type": "array",
    "description": "Every field that is missing or wrong.",
    "items": {
        "type": "object",
        "required": ["loc", "msg", "type"],
        "properties": {
            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
            "msg": {"type": "string", "description": "In words that go on from the field's name."},
            "type": {"type": "string"},
        },
    },
}
_PROBLEM_SCHEMAS: dict[str, Any] = {
    "Problem": {"type": "object", "properties": _PROBLEM_PROPERTIES, "required": _PROBLEM_REQUIRED},
    "FieldsProblem": {
        "type": "object",
        "required": _PROBLEM_REQUIRED,
        "properties": {**_PROBLEM_PROPERTIES, "errors": _WRONG_FIELDS},
    },
    "ValidationProblem": {
        "type": "object",
        "required": _PROBLEM_REQUIRED,
        "properties": {**_PROBLEM_PROPERTIES, "detail": _WRONG_FIELDS, "errors": _WRONG_FIELDS},
    },
}
