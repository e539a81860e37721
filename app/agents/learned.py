"""Learned templates: which of them fit a project, and the file that each one becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.agents.catalogue import templates
from app.agents.job import LearnedTemplate
from app.agents.specification import Specification
from app.agents.words import FILLERS, singular, slug, tokens

FOLDER = "learned"
MAX_TEMPLATES = 5
MAX_CONTENT = 100_000
_SUFFIXES = {
    "python": ".py",
    "html": ".html",
    "css": ".css",
    "sql": ".sql",
    "sqlite": ".sql",
    "postgresql": ".sql",
    "json": ".json",
    "yaml": ".yaml",
    "toml": ".toml",
    "svg": ".svg",
}


class Addition(NamedTuple):
    """A learned template that fits: its file, and the numbers of the objectives that it may help with."""

    path: str
    template: LearnedTemplate
    objectives: tuple[int, ...]


def fitting(spec: Specification, learned: Sequence[LearnedTemplate]) -> list[Addition]:
    """The best learned templates that fit, each with a path of its own.

    One fits if a tech of its stack is one of the project's, and an objective has at least half of the words of its
    pattern, and two of them. Its content is a text like any other: it is not rendered, and no file of the project
    uses it.
    """
    techs = {tech for kind in spec.kinds for tech in templates()[kind].techs}
    additions: dict[str, Addition] = {}
    for template in sorted(learned, key=lambda each: (-each.quality_score, each.template_id)):
        objectives = _objectives(spec, template)
        stack = [tech.strip().lower() for tech in template.techs]
        if not objectives or techs.isdisjoint(stack) or not 0 < len(template.content) <= MAX_CONTENT:
            continue
        suffix = next((_SUFFIXES[tech] for tech in stack if tech in _SUFFIXES), ".txt")
        path = f"{FOLDER}/{slug(template.name, otherwise='template')}{suffix}"
        additions.setdefault(path, Addition(path, template, objectives))
    return list(additions.values())[:MAX_TEMPLATES]


def _objectives(spec: Specification, template: LearnedTemplate) -> tuple[int, ...]:
    pattern = _keywords(template.task_pattern[:500])
    needed = max(2, (len(pattern) + 1) // 2)
    return tuple(
        objective.number for objective in spec.objectives if len(pattern & _keywords(objective.text)) >= needed
    )


def _keywords(text: str) -> set[str]:
    return {singular(word) for word in tokens(text) if len(word) > 2 and word not in FILLERS}
