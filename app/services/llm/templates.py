"""Learned templates: listing and deleting them."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from app.context import Context
from app.errors import TemplateNotFoundError
from app.events import Event, EventType, record
from app.services.figures.totals import Page, Total, capped, read_page
from app.services.llm.system_settings import defaults_of
from sql.lists import template_list as lists
from sql.lists.template_list import SortColumn
from sql.patterns import contains_as_it_is
from sql.statements import templates as statements

_ID = re.compile(r"[A-Za-z0-9._-]{1,36}")

_template_page = cache(lists.template_page)


class Template(NamedTuple):
    """A template; ``cost_saved`` is in 1e-9 USD, ``parameters`` and ``techs`` are JSON arrays.

    Each of ``techs`` is a position in the stack and the tech there, in any order.
    """

    template_id: str
    name: str
    task_pattern: str
    template_content: str
    source_llm: str
    quality_score: float
    usage_count: int
    cost_saved: int
    created_at: datetime
    last_used: datetime | None
    parameters: str
    techs: str


async def list_templates(
    ctx: Context, *, search: str = "", tech: str | None = None, by: SortColumn, page: int = 1, page_size: int = 25
) -> Page[Template]:
    """A page of templates, the largest value first; none where template learning is off.

    ``search`` matches a part of the name, of the task pattern or of any tech; ``tech`` is a whole element of the stack.
    """
    values: dict[str, Any] = defaults_of("template_learning_enabled")
    values |= {"page_size": page_size, "skip": (page - 1) * page_size}
    if search := search.strip():
        values["pattern"] = contains_as_it_is(search)
    if tech is not None:
        values["tech"] = tech
    async with ctx.read() as conn:
        statement = _template_page(by, bool(search), tech is not None)
        rows, counted = read_page(await conn.rows(statement, **values), Template)
    return Page(rows, capped(counted) if search or tech is not None else Total(counted))


async def delete_template(ctx: Context, template_id: str) -> str:
    """Delete a template for good; answers its name. Raises TemplateNotFoundError."""
    if not _ID.fullmatch(template_id):
        raise TemplateNotFoundError(template_id=template_id)
    async with ctx.write() as conn:
        name = await conn.maybe(statements.delete_template, str, template_id=template_id)
        if name is None:
            raise TemplateNotFoundError(template_id=template_id)
        metadata = {"template_id": template_id, "name": name}
        await record(conn, ctx, Event(EventType.TEMPLATE_DELETED, f"Template {name} deleted", metadata=metadata))
    return name
