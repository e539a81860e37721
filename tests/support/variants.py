"""Every variant of a statement that a function makes, by the types of its parameters."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sqlalchemy import Executable

from sql.patterns import MAX_WORDS

# As many words of a search as are conditions of their own.
NUMBERS = {"words": range(MAX_WORDS + 1)}


def variants(factory: Callable[..., Executable]) -> Iterator[tuple[str, Executable]]:
    """What a function makes of each combination of all that it may be asked for."""
    parameters = inspect.signature(factory, eval_str=True).parameters
    choices = [list(NUMBERS[name] if name in NUMBERS else values_of(of.annotation)) for name, of in parameters.items()]
    for values in itertools.product(*choices):
        arguments = dict(zip(parameters, values, strict=True))
        yield ", ".join(f"{name}={value}" for name, value in arguments.items()), factory(**arguments)


def values_of(kind: Any) -> list[Any]:
    """All values of a type that has few: a parameter of any other type needs a row in ``NUMBERS``."""
    if kind is bool:
        return [False, True]
    if kind is NoneType:
        return [None]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if get_origin(kind) in {Union, UnionType}:
        return [value for part in get_args(kind) for value in values_of(part)]
    if inspect.isclass(kind) and issubclass(kind, tuple):
        members = [values_of(part) for part in get_type_hints(kind).values()]
        return [kind(*values) for values in itertools.product(*members)]
    raise TypeError(f"nobody says which values of {kind} a statement is made for")
