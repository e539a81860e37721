"""The templates that were learned from good answers: listing and deleting them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import orjson
from pydantic import BeforeValidator, Field

from app import errors
from app.access.callers import operator
from app.access.permissions import Permission
from app.context import Context
from app.contract.camel import AS_NAMED
from app.money import to_usd
from app.services.llm import templates as use_cases
from app.services.llm.templates import Template
from blueprints.llm_management import api
from blueprints.web.fields import NO_NUL, PageNumber, RequestModel, blank_is_null
from sql.lists.template_list import SortColumn

ALL = "all"
SORTS: dict[str, SortColumn] = {
    "usage_count": "usage_count",
    "usage": "usage_count",
    "quality_score": "quality_score",
    "quality": "quality_score",
    "created_at": "created_at",
    "recent": "created_at",
}


class TemplateQuery(RequestModel):
    """Which templates, in which order."""

    search: Annotated[
        str, Field(max_length=200, pattern=NO_NUL, description="A part of the name, the task pattern or any tech.")
    ] = ""
    tech_stack: Annotated[
        str | None,
        Field(max_length=100, pattern=NO_NUL, description="A whole element of the stack; `all` means any."),
        BeforeValidator(blank_is_null),
    ] = None
    sort_by: Annotated[
        str,
        Field(
            max_length=50,
            pattern=NO_NUL,
            description="usage_count (usage), quality_score (quality) or created_at (recent), always the largest first;"
            " other words mean usage_count.",
        ),
    ] = "usage_count"
    page: PageNumber = 1
    page_size: Annotated[int, Field(ge=1, le=10_000, description="Templates on a page.")] = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateAnswer:
    """A template; what it has saved is in USD."""

    __pydantic_config__ = AS_NAMED
    template_id: str
    name: str
    task_pattern: str
    tech_stack: list[str]
    template_content: str
    source_llm: str
    quality_score: float
    usage_count: int
    cost_saved: float
    created_at: datetime
    last_used: Annotated[datetime, Field(description="When it was made, where it was never used.")]
    parameters: list[str]

    @classmethod
    def of(cls, template: Template) -> TemplateAnswer:
        """The answer about a template of the list."""
        return cls(
            template_id=template.template_id,
            name=template.name,
            task_pattern=template.task_pattern,
            tech_stack=[tech for _, tech in sorted(orjson.loads(template.techs))],
            template_content=template.template_content,
            source_llm=template.source_llm,
            quality_score=template.quality_score,
            usage_count=template.usage_count,
            cost_saved=to_usd(template.cost_saved),
            created_at=template.created_at,
            last_used=template.last_used or template.created_at,
            parameters=orjson.loads(template.parameters),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatePage:
    """A page of templates; where the total is capped, there are more."""

    __pydantic_config__ = AS_NAMED
    templates: list[TemplateAnswer]
    total: int
    total_is_capped: bool
    page: int
    page_size: int
    total_pages: Annotated[int, Field(description="0 where there is no template.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What was deleted."""

    success: bool = True
    message: str


@api.operation(
    "GET", "/templates", caller=operator(Permission.LLM_TEMPLATES_READ), query=TemplateQuery, answers=TemplatePage
)
async def templates(ctx: Context, query: TemplateQuery) -> TemplatePage:
    """The templates that were learned, the most used first; none while template learning is off.

    The total is exact for all templates, and for a filter up to 10,000.
    """
    listed = await use_cases.list_templates(
        ctx,
        search=query.search,
        tech=None if query.tech_stack == ALL else query.tech_stack,
        by=SORTS.get(query.sort_by, "usage_count"),
        page=query.page,
        page_size=query.page_size,
    )
    return TemplatePage(
        templates=[TemplateAnswer.of(template) for template in listed.rows],
        total=listed.total.total,
        total_is_capped=listed.total.is_capped,
        page=query.page,
        page_size=query.page_size,
        total_pages=listed.total.pages(query.page_size) if listed.total.total else 0,
    )


@api.operation(
    "DELETE",
    "/templates/{template_id}",
    caller=operator(Permission.LLM_TEMPLATES_DELETE),
    answers=Deleted,
    errors=(errors.TemplateNotFoundError,),
    path_parameters={"template_id": "The template's id."},
)
async def delete_template(ctx: Context, template_id: str) -> Deleted:
    """Delete a template for good."""
    name = await use_cases.delete_template(ctx, template_id)
    return Deleted(message=f"Template {name} is deleted.")
