"""The list of projects: a page of one tenant's or of all, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from app.context import Context
from app.database.connections import as_batch
from app.services.figures.totals import Found, Page, Total, capped, read_page
from app.services.projects.details import Project, with_agent_prompts
from sql.lists import project_list as statements
from sql.patterns import contains, word_patterns

_project_page = cache(statements.project_page)
_projects_matching = cache(statements.projects_matching)


async def list_projects(
    ctx: Context, *, tenant_id: int | None = None, search: str = "", page: int = 1, page_size: int = 20
) -> Page[Project]:
    """A page of the tenant's projects, or of everybody's.

    ``search`` matches a part of the id, the name, the client's name, the description or the objectives. A page takes
    the same number of statements whatever it holds.
    """
    values: dict[str, Any] = {}
    paging = {"page_size": page_size, "skip": (page - 1) * page_size}
    if search := search.strip():
        values["pattern"] = contains(search)
    if tenant_id is not None:
        values["tenant_id"] = tenant_id
    total = None
    async with ctx.read() as conn:
        statement = _project_page(tenant_id is not None, bool(search))
        if search and tenant_id is None:
            # Ids share most of their trigrams, so a part of one is looked up instead. Names share few, and a word of
            # theirs is often in more projects than the planner expects.
            words = word_patterns(search) if len(search.split()) == 1 else {}
            found = await conn.one(_projects_matching(len(words)), Found, **values, **words, **paging)
            total, values["batch"] = found.counted, found.batch
            statement = statements.projects_by_ids if found.way == "found" else statement
        projects, counted = read_page(await conn.rows(statement, **values, **paging), Project)
        projects = await with_agent_prompts(conn, projects)
    return Page(projects, total or (Total(counted) if tenant_id is None else capped(counted)))


async def projects_by_number(ctx: Context, numbers: Sequence[int]) -> list[Project | None]:
    """The projects whose rows have these ids, without the settings of their agents; with one statement.

    Whoever asks has found them where they may see them.
    """
    batch = as_batch([{"id": number} for number in set(numbers)])
    async with ctx.read() as conn:
        found, _ = read_page(await conn.rows(statements.projects_by_ids, batch=batch), Project)
    by_number = {project.id: project for project in found}
    return [by_number.get(number) for number in numbers]
