"""What every resolver gets beside its object: who asks, and the loaders of this request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from aiodataloader import DataLoader
from graphql import GraphQLResolveInfo

from app.context import Context
from app.resolvers.licensing_loaders import LicensingLoaders
from app.resolvers.run_loaders import RunLoaders
from app.services.progress.agents import NewestRun, agents_of_projects
from app.services.progress.projects import projects_by_id, remaining_seconds
from app.services.progress.records import AgentProgress, ProjectProgress, TaskProgress
from app.services.progress.tasks import TaskList, tasks_of_projects


class AgentOfProject(NamedTuple):
    """A kind of agent in a project."""

    project: NewestRun
    agent_type: str


class Loaders:
    """What resolvers of one request ask for together: each batch is one use case, with a connection of its own.

    Two fields that ask for the same get the same answer, which is as old as the request at most.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def forget(self) -> None:
        """Ask again from now on: a change follows, after which nothing that was found need still be true."""
        kept = {"_ctx": self._ctx}
        self.__dict__.clear()
        self.__dict__.update(kept)

    @cached_property
    def runs(self) -> RunLoaders:
        """Runs, what belongs to them, and the settings of projects."""
        return RunLoaders(self._ctx)

    @cached_property
    def licensing(self) -> LicensingLoaders:
        """Tenants, subscriptions, plans, codes, devices and usage."""
        return LicensingLoaders(self._ctx)

    @cached_property
    def projects(self) -> DataLoader[str, ProjectProgress | None]:
        """Projects by their ids, None where the caller sees none."""

        async def load(keys: list[str]) -> list[ProjectProgress | None]:
            return await projects_by_id(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def tasks_of_projects(self) -> DataLoader[TaskList, list[TaskProgress]]:
        """The tasks of projects, by status and how many of them."""

        async def load(keys: list[TaskList]) -> list[list[TaskProgress]]:
            return await tasks_of_projects(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def agents_of_projects(self) -> DataLoader[NewestRun, list[AgentProgress]]:
        """All agents of projects."""

        async def load(keys: list[NewestRun]) -> list[list[AgentProgress]]:
            return await agents_of_projects(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def agents(self) -> DataLoader[AgentOfProject, AgentProgress | None]:
        """Single agents of projects; those of one project are found together."""

        async def load(keys: list[AgentOfProject]) -> list[AgentProgress | None]:
            found = await self.agents_of_projects.load_many([key.project for key in keys])
            return [
                next((agent for agent in agents if agent.agent_type == key.agent_type), None)
                for key, agents in zip(keys, found, strict=True)
            ]

        return DataLoader(load)

    @cached_property
    def remaining_seconds(self) -> DataLoader[ProjectProgress, int | None]:
        """How long the runs of projects may still take."""

        async def load(keys: list[ProjectProgress]) -> list[int | None]:
            return await remaining_seconds(self._ctx, keys)

        return DataLoader(load)


@dataclass(frozen=True, slots=True)
class GraphQLContext:
    """One operation: who asks, and what its resolvers ask for together."""

    ctx: Context
    loaders: Loaders

    @classmethod
    def of(cls, ctx: Context) -> GraphQLContext:
        """A new operation of this caller."""
        return cls(ctx, Loaders(ctx))


# What the library hands to every resolver.
Info = GraphQLResolveInfo[GraphQLContext]
