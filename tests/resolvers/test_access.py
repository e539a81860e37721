"""Who may ask for a field: each rule of the schema refuses everybody else, before its resolver runs."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

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


@pytest.mark.parametrize("place", sorted(RULES))
def test_a_field_refuses_whom_its_rule_does_not_name(place: str) -> None:
    caller: Caller = RULES[place]
    session = Session(1, 1, "acme", "Acme", NOW, NOW, NOW)
    others = frozenset(Permission) - {caller.permission}
    tenant, lacking, having = (
        Context(NO_RUNTIME, session.actor, session=session),
        Context(NO_RUNTIME, Actor("operator", "ada", permissions=others)),
        Context(NO_RUNTIME, Actor("program", "ci", permissions=frozenset(Permission))),
    )

    if caller.tenant:
        assert asked(place, tenant) == "passed"
    else:
        with pytest.raises(NotSignedInError):
            asked(place, tenant)
    if caller.permission is None:
        with pytest.raises(SessionNotSentError):
            asked(place, having)
    else:
        assert asked(place, having) == "passed"
        with pytest.raises(PermissionDeniedError) as refused:
            asked(place, lacking)
        assert refused.value.values == {"permission": caller.permission.value}
