"""The specification of a project: what its objectives ask for, which template covers each, and what nothing covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.agents.catalogue import PROJECT, RECORDS, named_kinds, templates
from app.agents.clauses import Clause, find_entities, read_clauses
from app.agents.coverage import Use, cover
from app.agents.details import UNNAMED, completed
from app.agents.entities import Entity, clauses_of, entities_in, merged
from app.agents.job import MAX_OBJECTIVE, MAX_OBJECTIVES, Brief, clean
from app.agents.pages import Site, site_of
from app.agents.words import slug

MAX_NAME = 200
MAX_DESCRIPTION = 2_000


class Objective(NamedTuple):
    """An objective: ``uses`` cover it, ``left`` are the words in it that no template knows."""

    number: int
    text: str
    uses: tuple[Use, ...]
    left: tuple[str, ...]

    @property
    def slug(self) -> str:
        """A name for its test."""
        return slug(f"objective_{self.number:02}_{self.text}", 70)

    @property
    def status(self) -> str:
        """Whether it is covered, partly covered, or not covered."""
        if not self.uses:
            return "not covered"
        return "partly covered" if self.left else "covered"


class Specification(NamedTuple):
    """What is built: ``kinds`` are the templates, in the order of their files; ``assumptions`` are sentences."""

    brief: Brief
    objectives: tuple[Objective, ...]
    entities: tuple[Entity, ...]
    kinds: tuple[str, ...]
    site: Site
    assumptions: tuple[str, ...]

    @property
    def products(self) -> tuple[str, ...]:
        """The kinds that objectives ask for."""
        return tuple(kind for kind in self.kinds if kind not in {PROJECT, RECORDS})

    def asked(self, kind: str) -> set[str]:
        """The capabilities of a kind that some objective asks for."""
        return {use.capability for objective in self.objectives for use in objective.uses if use.kind == kind}


def specify(brief: Brief) -> Specification:
    """Read a brief; the result is bounded, and its texts have no line breaks and no control characters."""
    brief = _cleaned(brief)
    clauses = read_clauses(brief.objectives)
    about = [words for text in (brief.description, brief.name) for words in clauses_of(text)]
    kinds, assumptions = _kinds(clauses, about)
    found, used = find_entities(clauses, kinds)
    if not found and _always_keep_records(kinds):
        found = [each for words in about for each in entities_in(words)]
    entities = merged(found)
    if not entities and _always_keep_records(kinds):
        entities = [UNNAMED]
        assumptions.append("The objectives name nothing of which records are kept, so these are items with a name.")
    entities, more = completed(entities, [clause.words for clause in clauses])
    coverage = cover(len(brief.objectives), clauses, kinds, entities, used)
    objectives = tuple(
        Objective(at + 1, text, tuple(dict.fromkeys(coverage[at].uses)), tuple(dict.fromkeys(coverage[at].left)))
        for at, text in enumerate(brief.objectives)
    )
    covering = {use.kind for objective in objectives for use in objective.uses} - {PROJECT}
    ordered = [kind for kind in templates() if kind in covering]
    if entities and any(templates()[kind].manages != "never" for kind in ordered):
        ordered.append(RECORDS)
        assumptions += more
    else:
        entities = []
    return Specification(
        brief,
        objectives,
        tuple(entities),
        (*ordered, PROJECT) if ordered else (),
        site_of(brief, [clause.words for clause in clauses if "static_site" in ordered]),
        tuple(dict.fromkeys(assumptions)),
    )


def _always_keep_records(kinds: Sequence[str]) -> bool:
    return any(templates()[kind].manages == "always" for kind in kinds)


def _cleaned(brief: Brief) -> Brief:
    objectives = [clean(objective, MAX_OBJECTIVE) for objective in brief.objectives[:MAX_OBJECTIVES]]
    return Brief(
        slug(brief.project_id, 60, "project"),
        clean(brief.name, MAX_NAME) or "Project",
        clean(brief.client_name, MAX_NAME),
        clean(brief.description, MAX_DESCRIPTION),
        tuple(dict.fromkeys(objective for objective in objectives if objective)),
    )


def _kinds(clauses: Sequence[Clause], about: Sequence[list[str]]) -> tuple[list[str], list[str]]:
    """The kinds of the project, and what had to be assumed to know them."""
    kinds = list(dict.fromkeys(kind for clause in clauses for kind in clause.named))
    if kinds:
        return kinds, []
    kinds = list(dict.fromkeys(kind for words in about for kind in named_kinds(words)))
    if kinds:
        titles = " and a ".join(templates()[kind].title for kind in kinds)
        return kinds, [f"No objective says what to build; name and description do: a {titles}."]
    if any(each for clause in clauses for each in entities_in(clause.words)):
        return ["rest_service"], ["No objective says what to build: records are managed by a REST service."]
    return [], []
