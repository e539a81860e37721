"""Who may ask for a field: the rule that stands with it in the schema's text, enforced before its resolver runs."""

from __future__ import annotations

from typing import Any, Final

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, StringValueNode
from graphql.language import BooleanValueNode

from app.access.callers import Caller
from app.access.permissions import Permission
from app.context import Context
from app.errors import PermissionDeniedError
from app.resolvers.context import Info

DIRECTIVE: Final = "access"


class Guarded:
    """The resolver of a field, or the source of a subscription, that only some may ask for."""

    __slots__ = ("caller", "resolve")

    def __init__(self, caller: Caller, resolve: Any) -> None:
        self.caller = caller
        self.resolve = resolve

    def __call__(self, of: Any, info: Info, **arguments: Any) -> Any:
        """What the field answers; raises as ``check_caller`` does."""
        check_caller(info.context.ctx, self.caller)
        return self.resolve(of, info, **arguments)


def check_caller(ctx: Context, caller: Caller) -> None:
    """Raise what the same caller is refused with by an operation over HTTP that has this rule.

    That is SessionNotSentError or NotSignedInError for the wrong kind of caller, PermissionDeniedError for an operator
    who lacks the permission.
    """
    if ctx.session is not None:
        if not caller.tenant:
            raise caller.not_sent
    elif caller.permission is None:
        raise caller.not_sent
    elif caller.permission not in ctx.actor.permissions:
        raise PermissionDeniedError(permission=caller.permission.value)


def rules(schema: GraphQLSchema) -> dict[str, Caller]:
    """The rule of each field that has one, by ``Type.field``."""
    return {
        f"{name}.{field_name}": caller
        for name, kind in schema.type_map.items()
        if isinstance(kind, GraphQLObjectType)
        for field_name, field in kind.fields.items()
        if (caller := _stated(field)) is not None
    }


def guard(schema: GraphQLSchema) -> None:
    """Have every field with a rule refuse whom the rule does not name; sources of subscriptions refuse likewise."""
    for place, caller in rules(schema).items():
        name, _, field_name = place.partition(".")
        kind = schema.type_map[name]
        if isinstance(kind, GraphQLObjectType):
            field = kind.fields[field_name]
            if field.subscribe is not None:
                field.subscribe = Guarded(caller, field.subscribe)
            else:
                field.resolve = Guarded(caller, field.resolve)


def _stated(field: GraphQLField) -> Caller | None:
    """The rule in the schema's text; raises ValueError for a permission that does not exist."""
    nodes = field.ast_node.directives or () if field.ast_node is not None else ()
    node = next((node for node in nodes if node.name.value == DIRECTIVE), None)
    if node is None:
        return None
    given = {one.name.value: one.value for one in node.arguments or ()}
    tenants, permission = given.get("tenants"), given.get("permission")
    return Caller(
        tenant=isinstance(tenants, BooleanValueNode) and tenants.value,
        permission=Permission(permission.value) if isinstance(permission, StringValueNode) else None,
    )
