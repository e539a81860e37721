"""Who may ask for a field: each rule of the schema refuses everybody else, before its resolver runs."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from support.refusals import Findings

from app.access.callers import Caller
from app.access.permissions import Permission
from app.context import Actor, Context, Session
from app.errors import NotSignedInError, PermissionDeniedError, SessionNotSentError
from app.resolvers.access import Guarded, rules
from app.resolvers.schema import schema

RULES = rules(schema())
NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
# A rule looks at who asks and at nothing else.
NO_RUNTIME: Any = None


def asked(place: str, ctx: Context) -> Any:
    """What a field answers; one that lets the caller pass reads on and fails, because there is nothing to answer it."""
    name, _, field_name = place.partition(".")
    field = schema().type_map[name].fields[field_name]
    guarded = field.subscribe if name == "Subscription" else field.resolve
    assert isinstance(guarded, Guarded)
    passed = Guarded(guarded.caller, lambda of, info: "passed")
    return passed(None, SimpleNamespace(context=SimpleNamespace(ctx=ctx)))  # type: ignore[arg-type]


def outcome(place: str, ctx: Context) -> tuple[str, Any]:
    """Whether a field lets the caller pass, or by which error it refuses and with which permission."""
    try:
        return asked(place, ctx), None
    except (NotSignedInError, SessionNotSentError, PermissionDeniedError) as refused:
        return type(refused).__name__, refused.values.get("permission")


def expected_of(caller: Caller) -> list[tuple[str, Any]]:
    """What a tenant, a program with every permission and an operator who lacks this one are answered."""
    tenant = ("passed", None) if caller.tenant else ("NotSignedInError", None)
    if caller.permission is None:
        return [tenant, ("SessionNotSentError", None), ("SessionNotSentError", None)]
    return [tenant, ("passed", None), ("PermissionDeniedError", caller.permission.value)]


def test_a_field_refuses_whom_its_rule_does_not_name() -> None:
    session = Session(1, 1, "acme", "Acme", NOW, NOW, NOW)
    findings = Findings()
    for place, caller in RULES.items():
        others = frozenset(Permission) - {caller.permission}
        callers = (
            Context(NO_RUNTIME, session.actor, session=session),
            Context(NO_RUNTIME, Actor("program", "ci", permissions=frozenset(Permission))),
            Context(NO_RUNTIME, Actor("operator", "ada", permissions=others)),
        )
        findings.add(place, [outcome(place, ctx) for ctx in callers], expected_of(caller))

    assert findings.found == findings.expected
    assert len(findings.found) == len(RULES) > 0
