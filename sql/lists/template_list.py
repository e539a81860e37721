"""Pages of the learned templates, for operators."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Boolean, ColumnElement, Select, bindparam, case, func, or_, select

from sql.counting import PAGE_SIZE, SKIP, bounded_count, page_with_total, total_of
from sql.dialect import json_rows
from sql.matching import lower_contains_pattern
from sql.tables import learned_templates, system_settings, template_techs

SortColumn = Literal["usage_count", "quality_score", "created_at"]

_is_of_template = template_techs.c.template_id == learned_templates.c.template_id
_techs = (
    select(func.coalesce(json_rows(template_techs.c.position, template_techs.c.tech), "[]"))
    .where(_is_of_template)
    .correlate(learned_templates)
    .scalar_subquery()
)
_shown = (
    learned_templates.c.template_id,
    learned_templates.c.name,
    learned_templates.c.task_pattern,
    learned_templates.c.template_content,
    learned_templates.c.source_llm,
    learned_templates.c.quality_score,
    learned_templates.c.usage_count,
    learned_templates.c.cost_saved,
    learned_templates.c.created_at,
    learned_templates.c.last_used,
    learned_templates.c.parameters,
    _techs.label("techs"),
)
# Where nobody has changed a system setting, the parameter says what holds.
_is_learning = func.coalesce(
    select(system_settings.c.template_learning_enabled).where(system_settings.c.id == 1).scalar_subquery(),
    bindparam("default_template_learning_enabled", type_=Boolean),
)


def template_page(by: SortColumn, is_searched: bool, has_tech: bool) -> Select[Any]:
    """A page of templates with their total, the largest value of the column ``by`` first.

    Where template learning is off, there are none. ``techs`` is a JSON array of positions with their techs.
    """
    order = (learned_templates.c[by].desc(), learned_templates.c.template_id.desc())
    matches = select(learned_templates.c.template_id).where(_is_learning, *_conditions(is_searched, has_tech))
    page = matches.order_by(*order).limit(PAGE_SIZE).offset(SKIP).subquery("page")
    is_counted = is_searched or has_tech
    number = bounded_count(matches) if is_counted else case((_is_learning, total_of("templates_created")), else_=0)
    total, source = page_with_total(number, page)
    return (
        select(total, *_shown)
        .select_from(source)
        .outerjoin(learned_templates, learned_templates.c.template_id == page.c.template_id)
        .order_by(*order)
    )


def _conditions(is_searched: bool, has_tech: bool) -> list[ColumnElement[bool]]:
    techs = select(template_techs.c.template_id)
    conditions: list[ColumnElement[bool]] = []
    if has_tech:
        conditions.append(learned_templates.c.template_id.in_(techs.where(template_techs.c.tech == bindparam("tech"))))
    if is_searched:
        conditions.append(
            or_(
                lower_contains_pattern(learned_templates.c.name),
                lower_contains_pattern(learned_templates.c.task_pattern),
                learned_templates.c.template_id.in_(techs.where(lower_contains_pattern(template_techs.c.tech))),
            )
        )
    return conditions
