"""What resolvers ask for together about runs, their accounts and the settings of projects."""

from __future__ import annotations

from functools import cached_property

from aiodataloader import DataLoader

from app.context import Context
from app.services.ledger.standing import Standing, standings_of_runs
from app.services.progress.records import TaskProgress
from app.services.progress.runs import (
    EventsOfRun,
    RunsOfProject,
    TasksOfRun,
    events_of_runs,
    runs_by_id,
    runs_of_projects,
    tasks_of_runs,
)
from app.services.projects.details import Project
from app.services.projects.project_list import projects_by_number
from app.services.runs.records import ListedRun
from app.services.runs.run_events import RunEvent


class RunLoaders:
    """The loaders of one request: each batch is one use case, with a connection of its own."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    @cached_property
    def by_id(self) -> DataLoader[int, ListedRun | None]:
        """Runs by their ids, None where the caller sees none."""

        async def load(keys: list[int]) -> list[ListedRun | None]:
            return await runs_by_id(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def of_projects(self) -> DataLoader[RunsOfProject, list[ListedRun]]:
        """Parts of the runs of projects."""

        async def load(keys: list[RunsOfProject]) -> list[list[ListedRun]]:
            return await runs_of_projects(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def tasks(self) -> DataLoader[TasksOfRun, list[TaskProgress]]:
        """Parts of the tasks of runs."""

        async def load(keys: list[TasksOfRun]) -> list[list[TaskProgress]]:
            return await tasks_of_runs(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def events(self) -> DataLoader[EventsOfRun, list[RunEvent]]:
        """Parts of the events of runs."""

        async def load(keys: list[EventsOfRun]) -> list[list[RunEvent]]:
            return await events_of_runs(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def accounts(self) -> DataLoader[int, Standing | None]:
        """What runs have spent."""

        async def load(keys: list[int]) -> list[Standing | None]:
            return await standings_of_runs(self._ctx, keys)

        return DataLoader(load)

    @cached_property
    def project_settings(self) -> DataLoader[int, Project | None]:
        """The settings of projects by the ids of their rows."""

        async def load(keys: list[int]) -> list[Project | None]:
            return await projects_by_number(self._ctx, keys)

        return DataLoader(load)
