"""Running an operation: what it may cost is settled before anything is asked of the database."""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
    execute,
)

from app import errors
from app.errors import PortalError
from app.execution.documents import Documents, Operation, Prepared
from app.execution.executor import PlainExecutor
from app.execution.failures import portal_error, shown
from app.settings import Settings

# Documents that may be asked for by their hash, and how long their texts are together.
PERSISTED: Final = 1000
PERSISTED_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller sends; without a text the document is one that was sent before, by its SHA-256."""

    query: str | None
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """An operation that may run, with what it costs."""

    prepared: Prepared
    operation: Operation
    variables: Mapping[str, Any]
    cost: dict[str, int]

    @property
    def operation_name(self) -> str | None:
        """The operation's name in the document, if it has one."""
        return self.operation.node.name.value if self.operation.node.name else None


@dataclass(frozen=True, slots=True)
class Answered:
    """What is answered; without ``has_run`` the operation was refused as a whole, by ``error``."""

    body: dict[str, Any]
    has_run: bool
    error: PortalError | None = None

    @property
    def worst_status(self) -> int:
        """The highest status of its errors anywhere else, 200 where it has none."""
        return max((failure["extensions"]["status"] for failure in self.body.get("errors", ())), default=200)


# Counts what an operation costs against the budget of whoever asks; what remains, or None where nobody counts.
CountCost = Callable[[int], Awaitable[int | None]]


class RefusedError(Exception):
    """The operation is not run; the errors say why, and ``cost`` what it would have cost, where that is known."""

    def __init__(self, failures: list[GraphQLError], cost: dict[str, int] | None = None) -> None:
        super().__init__(failures[0].message)
        self.failures = failures
        self.cost = cost

    @classmethod
    def by(cls, error: PortalError, cost: dict[str, int] | None = None) -> RefusedError:
        """A refusal by one error of the portal's tree."""
        return cls([GraphQLError(error.detail, original_error=error)], cost)

    def answered(self, request_id: str | None) -> Answered:
        """The refusal as it is answered."""
        body: dict[str, Any] = {"errors": [shown(failure, request_id) for failure in self.failures]}
        if self.cost is not None:
            body["extensions"] = {"cost": self.cost}
        return Answered(body, has_run=False, error=portal_error(self.failures[0]))


class Engine:
    """Runs documents of one schema; there is one in each process."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self.schema = schema
        self._settings = settings
        self._documents = Documents(schema, settings)
        self._persisted: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    async def ready(
        self,
        asked: Asked,
        *,
        kinds: frozenset[OperationType],
        may_introspect: bool,
        count_cost: CountCost,
    ) -> Ready:
        """The operation, read and paid for; raises RefusedError. Only operations of these kinds are run."""
        prepared = self._documents.read(self._text(asked), may_introspect=may_introspect)
        if prepared.errors:
            raise RefusedError(list(prepared.errors))
        try:
            operation = prepared.operation(asked.operation_name)
        except errors.DocumentError as failure:
            raise RefusedError.by(failure) from None
        if operation.kind not in kinds:
            raise RefusedError.by(_not_here(operation.kind, kinds))
        limit = self._settings.graphql_max_cost
        cost = {"requested": operation.cost(asked.variables), "limit": limit}
        if cost["requested"] > limit:
            raise RefusedError.by(errors.DocumentTooCostlyError(cost=cost["requested"], limit=limit), cost)
        try:
            remaining = await count_cost(cost["requested"])
        except errors.CostBudgetError as failure:
            raise RefusedError.by(failure, cost) from None
        if remaining is not None:
            cost["remaining"] = remaining
        return Ready(prepared, operation, asked.variables, cost)

    async def source(self, ready: Ready, context: Any) -> AsyncIterator[Any]:
        """What a subscription will be told, each of it to be answered by ``run``.

        Raises RefusedError where an argument is wrong or the resolver refuses.
        """
        executor = PlainExecutor.build(
            self.schema,
            ready.prepared.runnable,
            context_value=context,
            raw_variable_values=dict(ready.variables),
            operation_name=ready.operation_name,
        )
        if isinstance(executor, list):
            raise RefusedError(executor, ready.cost)
        found = create_source_event_stream(executor)
        source: Any = await found if inspect.isawaitable(found) else found
        if isinstance(source, ExecutionResult):
            raise RefusedError(list(source.errors or ()), ready.cost)
        events: AsyncIterator[Any] = source
        return events

    async def run(self, ready: Ready, context: Any, request_id: str | None, told: Any = None) -> Answered:
        """What a query or a mutation answers, or a subscription to one thing that it was told."""
        result = execute(
            self.schema,
            ready.prepared.runnable,
            told,
            context_value=context,
            variable_values=dict(ready.variables),
            operation_name=ready.operation_name,
            executor_class=PlainExecutor,
        )
        answer = await result if inspect.isawaitable(result) else result
        return self.answer(answer, ready, request_id)

    def answer(self, result: ExecutionResult, ready: Ready, request_id: str | None) -> Answered:
        """A result as it is answered."""
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [shown(failure, request_id) for failure in result.errors]
        body["extensions"] = {"cost": ready.cost}
        return Answered(body, has_run=True)

    def _text(self, asked: Asked) -> str:
        """The text of the document; one that comes with its hash may be asked for by that from then on."""
        if asked.sha256 is None:
            if asked.query is None:
                raise RefusedError.by(errors.PersistedDocumentWrongError())
            return asked.query
        if asked.query is None:
            if (text := self._persisted.get(asked.sha256)) is None:
                raise RefusedError.by(errors.PersistedDocumentNotFoundError())
            self._persisted.move_to_end(asked.sha256)
            return text
        if hashlib.sha256(asked.query.encode()).hexdigest() != asked.sha256.lower():
            raise RefusedError.by(errors.PersistedDocumentWrongError())
        if asked.sha256 not in self._persisted:
            self._persist(asked.sha256, asked.query)
        return asked.query

    def _persist(self, sha256: str, text: str) -> None:
        self._persisted[sha256] = text
        self._characters += len(text)
        while len(self._persisted) > PERSISTED or self._characters > PERSISTED_CHARACTERS:
            _, oldest = self._persisted.popitem(last=False)
            self._characters -= len(oldest)


def _not_here(kind: OperationType, kinds: frozenset[OperationType]) -> PortalError:
    if OperationType.MUTATION in kinds:
        return errors.DocumentError(reason=f"a {kind.value} is run over a WebSocket, or as server-sent events")
    return errors.QueryOverGetError()
