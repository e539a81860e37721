"""Runs of projects in memory: every task of the plan, and what the qa agent sends back, one after the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from app.agents.work import (
    FIRST_TASK,
    Brief,
    Job,
    LearnedTemplate,
    Outcome,
    PlannedTask,
    Sandbox,
    objectives_of,
    work,
)

# What somebody asks for; each of the four kinds in several wordings, and mixed.
SERVICES = (
    "REST API for books with title and author; search books by title; delete books",
    """manage customers with name, email (unique) and phone (optional)
    email must be valid
    unit tests
    Docker""",
    """REST service for tasks with title, due date and done
    mark tasks as done
    sort tasks by due date
    pagination
    export tasks as CSV
    API key authentication
    OAuth login with Google""",
    """REST API for authors with name
    books with title, price and status (new, used)
    books belong to authors
    total price per author
    OpenAPI description
    JavaScript client""",
)
TOOLS = (
    "command line tool that counts words in text files and prints JSON",
    """CLI to track expenses with amount, category and date
    add expenses
    list expenses by category
    show total per category
    export expenses to CSV
    input validation""",
    """terminal tool: find lines with a text in files
    find duplicate files
    convert CSV to JSON
    most frequent words
    statistics for each numeric column of a CSV file
    read standard input""",
)
SITES = (
    """Static website for a bakery with home page, about page and contact page
    opening hours section
    responsive and accessible
    no broken links
    dark mode""",
    """Landing page for a dentist: services, directions, contact praxis@example.org
    SEO
    404 page
    favicon
    web app manifest
    print styles""",
)
IMPORTS = (
    """Import orders from CSV files with columns id, customer, amount, date into SQLite
    reject invalid rows with an error report
    skip duplicates
    print a summary as JSON""",
    """Load customer data from a JSON file into a database
    fields: name, email, country
    dry run
    UTF-8
    trim whitespace
    tab separated files
    export as CSV
    number of customers per country""",
)
MIXED = (
    """A REST API for products with name, price and stock
    a landing page for the shop with contact section
    import products from CSV
    README
    standard library only
    pip installable package
    one command that checks everything""",
)


def brief_of(text: str, name: str = "Shop", description: str = "What was ordered") -> Brief:
    """The brief of a project with these objectives."""
    return Brief("shop-1", name, "ACME", description, objectives_of(text))


class Finished(NamedTuple):
    """A finished run: its files, and the outcome of each task by its key."""

    files: dict[str, bytes]
    outcomes: dict[str, Outcome]
    tasks: list[PlannedTask]

    @property
    def last(self) -> Outcome:
        """What the last check has said."""
        return next(self.outcomes[task.key] for task in reversed(self.tasks) if task.agent_type == "qa")

    def text(self, path: str) -> str:
        """A file as text."""
        return self.files[path].decode()


Spoil = Callable[[PlannedTask, dict[str, bytes]], None]


async def run_project(
    brief: Brief,
    sandbox: Sandbox | None = None,
    learned: Sequence[LearnedTemplate] = (),
    *,
    qa_rounds: int = 2,
    spoil: Spoil | None = None,
) -> Finished:
    """Do every task when those that it needs are done; ``spoil`` may change the files before each of them."""
    files: dict[str, bytes] = {}
    outcomes: dict[str, Outcome] = {}
    tasks = [FIRST_TASK]
    qa_round = 0
    while waiting := [task for task in tasks if task.key not in outcomes]:
        task = next(task for task in waiting if set(task.needs) <= set(outcomes))
        if spoil:
            spoil(task, files)
        outcome = await work(Job(brief, task, dict(files), qa_round, qa_rounds, learned), sandbox)
        files = {path: content for path, content in files.items() if path not in outcome.removed} | dict(outcome.files)
        outcomes[task.key] = outcome
        tasks += outcome.tasks
        qa_round += task.agent_type == "qa" and bool(outcome.tasks)
    assert len({task.key for task in tasks}) == len({(task.name, task.agent_type) for task in tasks}) == len(tasks)
    return Finished(files, outcomes, tasks)


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The folder with these files in it."""
    for path, content in files.items():
        place = folder / path
        assert place.resolve().is_relative_to(folder.resolve())
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a project's tests as its README says."""
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "unittest"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"},
    )
