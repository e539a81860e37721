"""Learned templates: removing one."""

from __future__ import annotations

from sqlalchemy import bindparam, delete

from sql.tables import learned_templates

delete_template = (
    delete(learned_templates)
    .where(learned_templates.c.template_id == bindparam("template_id"))
    .returning(learned_templates.c.name)
)
