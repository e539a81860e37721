"""The contract as tests read it: every operation, addresses and bodies that fit it, and callers of every kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from httpx2 import Response
from support.admin import as_operator, as_tenant, operator_cookie
from support.builders import Licensed, activated, licensed
from support.live import LiveServer

from app.access.permissions import Permission, Role
from app.contract.api_document import Operation
from app.server import APIS

OPERATIONS: tuple[Operation, ...] = tuple(operation for api in APIS for operation in api.operations)
GUARDED = tuple(operation for operation in OPERATIONS if not operation.caller.is_anyone)
READING = frozenset({"GET", "HEAD"})
# An id that no test makes.
NOBODYS_ID = 987_654_321
# Texts of which one fits most patterns and formats.
TEXTS = (
    "run",
    "a",
    "A1",
    "2025-01-01T00:00:00Z",
    "2025-01-01",
    "person@example.com",
    "https://example.com",
    "#112233",
    "123456",
    "+4912345678",
)
BY_FORMAT = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "email": "person@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


# Every kind of caller: a tenant's device and session, programs and browsers of operators of each role.
CALLERS = ("device", "tenant session", *(f"{role} {way}" for role in Role for way in ("token", "cookie")))


def label(operation: Operation) -> str:
    """An operation as failures name it."""
    return f"{operation.method} {operation.path}"


def address(operation: Operation, tenant_slug: str = "nobody") -> str:
    """An address of the operation, about this tenant as far as it is about one."""
    path = operation.path
    for name in operation.path_parameters:
        value = tenant_slug if "slug" in name else str(NOBODYS_ID) if name in operation.numbers_in_path else "nothing"
        path = path.replace(f"{{{name}}}", value)
    return path


def body_of(operation: Operation) -> Any:
    """A small body that the operation accepts, as far as its schema alone says so."""
    # What comes as bytes is proved by its sender's signature, which nothing here has.
    if operation.body is None or operation.body is bytes:
        return None
    schema = operation.body.model_json_schema()
    return sample(schema, schema.get("$defs", {}))


async def ask(
    live: LiveServer, operation: Operation, headers: Mapping[str, str], tenant_slug: str = "nobody", method: str = ""
) -> Response:
    """The answer to a sound request for the operation, as whoever these headers say."""
    live.http.cookies.clear()
    body = body_of(operation)
    sent = {} if body is None else {"json": body}
    return await live.http.request(
        method or operation.method, address(operation, tenant_slug), headers=dict(headers), **sent
    )


async def headers_of(live: LiveServer, caller: str, tenant: Licensed | None = None) -> dict[str, str]:
    """What a new caller of this kind sends; the device and the session are the tenant's, or a new one's."""
    if caller in {"device", "tenant session"}:
        tenant = tenant or await licensed(live, max_uses=100)
        return (
            (await activated(live, tenant)).headers if caller == "device" else await as_tenant(live, tenant.tenant_id)
        )
    role, _, way = caller.partition(" ")
    return await (as_operator if way == "token" else operator_cookie)(live, role)


def accepts(operation: Operation, caller: str) -> bool:
    """Whether the stated rule lets this kind of caller in."""
    if caller in {"device", "tenant session"}:
        is_tenant = operation.caller.tenant or operation.caller.tenant_token
        return operation.caller.device if caller == "device" else is_tenant
    return operation.caller.any_operator or operation.caller.permission in permissions_of(caller)


def permissions_of(caller: str) -> frozenset[Permission]:
    """What an operator of the caller's role may do."""
    return Role(caller.partition(" ")[0]).permissions


def sample(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """A value that the schema allows, the plainest that comes to hand."""
    if "$ref" in schema:
        return sample(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return sample(schema[several][0], definitions)
    for given in ("const", "default", "examples", "enum"):
        if (value := schema.get(given)) is not None:
            return value[0] if given in {"examples", "enum"} else value
    kind = schema.get("type", "")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: sample(properties[name], definitions) for name in schema.get("required", ())}
    if kind == "array":
        return [sample(schema.get("items", {}), definitions)] * schema.get("minItems", 0)
    number = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    return {"integer": number, "number": number, "boolean": True, "string": _text(schema)}.get(kind)


def _text(schema: dict[str, Any]) -> str:
    if (known := BY_FORMAT.get(schema.get("format", ""))) is not None:
        return known
    least, most = schema.get("minLength", 0), schema.get("maxLength", 10_000)
    fitting = [text for text in TEXTS if least <= len(text) <= most and re.search(schema.get("pattern", ""), text)]
    return fitting[0] if fitting else "x" * least
