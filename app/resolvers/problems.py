"""Problems: what keeps a change from being made, as values beside the object that it would have changed."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from pydantic.alias_generators import to_camel

from app.errors import IdempotencyLostError, PortalError, ValidationError
from app.resolvers.context import Info


class Problem(NamedTuple):
    """Why a change was not made."""

    code: str
    message: str
    remedy: str | None
    path: list[str]
    status: int

    @property
    def field(self) -> str | None:
        """The field of the input that is wrong, None where it is no field."""
        return ".".join(self.path) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a change answers; its subclasses have the changed object."""

    problems: list[Problem] = field(default_factory=list)


Answered = TypeVar("Answered", bound=Payload)


def changing(
    payload: Callable[..., Answered],
) -> Callable[[Callable[..., Awaitable[Answered]]], Callable[..., Awaitable[Answered]]]:
    """Have a resolver answer a payload of this class with problems where the use case refuses the change.

    What the caller can do nothing about stays an error of the field, as does what keeps it from asking at all: our own
    failures, limits, and who may ask, which is decided before the resolver runs.
    """

    def around(resolve: Callable[..., Awaitable[Answered]]) -> Callable[..., Awaitable[Answered]]:
        @functools.wraps(resolve)
        async def resolve_change(of: Any, info: Info, **arguments: Any) -> Answered:
            info.context.loaders.forget()
            try:
                return await resolve(of, info, **arguments)
            except PortalError as failure:
                is_lost = isinstance(failure, IdempotencyLostError)
                if is_lost or failure.status >= 500 or failure.status in {401, 429}:
                    raise
                return payload(problems=problems_of(failure))

        return resolve_change

    return around


def problems_of(failure: PortalError) -> list[Problem]:
    """An error as problems: one for each wrong field, or the only one."""
    if not isinstance(failure, ValidationError):
        return [Problem(failure.code, failure.message, failure.remedy or None, [], failure.status)]
    return [
        Problem(failure.code, wrong.message, None, [to_camel(str(part)) for part in wrong.path], failure.status)
        for wrong in failure.fields
    ]
