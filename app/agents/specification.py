"""The specification of a project: what its objectives ask for, which template covers each, and what nothing covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.agents.catalogue import PROJECT, RECORDS, Capability, Template, named_kinds, positions, templates
from app.agents.entities import (
    Entity,
    Found,
    clauses_of,
    constrained,
    entities_in,
    mentions_of,
    merged,
    subject_of,
)
from app.agents.fields import Field
from app.agents.job import MAX_OBJECTIVE, MAX_OBJECTIVES, Brief, clean
from app.agents.pages import Site, site_of
from app.agents.words import FILLERS, slug

MAX_NAME = 200
MAX_DESCRIPTION = 2_000
# What is managed where the objectives name nothing.
_UNNAMED = Entity("items", "item", (Field("name"),))
_BEGINNINGS = frozenset("add build create develop generate implement make provide write".split())
_MARKS = frozenset(", : ; / & ( )".split())


class Use(NamedTuple):
    """A capability of a template that an objective asks for, of an entity and its fields where it has some."""

    kind: str
    capability: str
    says: str
    entity: Entity | None = None
    fields: tuple[Field, ...] = ()


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


class _Clause(NamedTuple):
    objective: int
    words: list[str]
    named: list[str]


def _clause(objective: int, words: list[str]) -> _Clause:
    """A clause; in "create a REST service" the verb is about the service, and says nothing of records."""
    named = named_kinds(words)
    starts = [
        min(positions(pattern, words), default=len(words)) for kind in named for pattern in templates()[kind].words
    ]
    if starts and words[0] in _BEGINNINGS and all(word in FILLERS for word in words[1 : min(starts)]):
        words = words[1:]
    return _Clause(objective, words, named)


def specify(brief: Brief) -> Specification:
    """Read a brief; whatever it says, the result is bounded, and no text of it has a line break or a control character."""
    brief = _cleaned(brief)
    clauses = [_clause(at, words) for at, text in enumerate(brief.objectives) for words in clauses_of(text)]
    about = [words for text in (brief.description, brief.name) for words in clauses_of(text)]
    kinds, assumptions = _kinds(clauses, about)
    found, used = _found(clauses, kinds)
    if not found and any(templates()[kind].manages == "always" for kind in kinds):
        found = [each for words in about for each in entities_in(words)]
    entities = _completed(merged(found), clauses, kinds, assumptions)
    uses, left = _uses(clauses, kinds, entities, used, brief)
    for kind in kinds:
        asked = {use.capability for each in uses for use in each if use.kind == kind}
        if templates()[kind].needs_more_than_base and asked == {"base"}:
            uses = [[use for use in each if use.kind != kind] for each in uses]
    objectives = tuple(
        Objective(at + 1, text, tuple(dict.fromkeys(uses[at])), tuple(dict.fromkeys(left[at])))
        for at, text in enumerate(brief.objectives)
    )
    covering = {use.kind for objective in objectives for use in objective.uses} - {PROJECT}
    ordered = [kind for kind in templates() if kind in covering]
    if entities and any(templates()[kind].manages != "never" for kind in ordered):
        ordered.append(RECORDS)
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


def _cleaned(brief: Brief) -> Brief:
    objectives = [clean(objective, MAX_OBJECTIVE) for objective in brief.objectives[:MAX_OBJECTIVES]]
    return Brief(
        slug(brief.project_id, 60, "project"),
        clean(brief.name, MAX_NAME) or "Project",
        clean(brief.client_name, MAX_NAME),
        clean(brief.description, MAX_DESCRIPTION),
        tuple(dict.fromkeys(objective for objective in objectives if objective)),
    )


def _kinds(clauses: Sequence[_Clause], about: Sequence[list[str]]) -> tuple[list[str], list[str]]:
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


def _found(clauses: Sequence[_Clause], kinds: Sequence[str]) -> tuple[list[Found], list[set[int]]]:
    """The entities of the clauses about what keeps records, and the words of each clause that have told of them."""
    found: list[Found] = []
    used: list[set[int]] = []
    context = ""
    for clause in clauses:
        seen: set[int] = set()
        meant = clause.named or [kind for kind in kinds if not _is_about_pages(clause, kind)]
        if any(templates()[kind].manages != "never" for kind in meant):
            told = list(entities_in(clause.words, context=context))
            if clause.named and not told and (subject := subject_of(clause.words)):
                told = [subject]
            for each in told:
                if not clause.named and not each.is_several and each.fields:
                    continue
                found.append(each)
                seen |= each.used
                context = each.words[-1]
        used.append(seen)
    return found, used


def _is_about_pages(clause: _Clause, kind: str) -> bool:
    """Whether a clause that names no kind is about the pages of a site, so that its list is none of fields."""
    template = templates()[kind]
    return template.manages == "never" or (
        "static_site" in kind and any(_match(each, clause.words) for each in template.capabilities)
    )


def _completed(
    entities: list[Entity], clauses: Sequence[_Clause], kinds: Sequence[str], assumptions: list[str]
) -> list[Entity]:
    """The entities with what clauses say of their fields, and with a field where nothing names one."""
    if not entities and any(templates()[kind].manages == "always" for kind in kinds):
        entities = [_UNNAMED]
        assumptions.append("The objectives name nothing of which records are kept, so these are items with a name.")
    completed = []
    for entity in entities:
        if entity is not _UNNAMED and not any(field.kind != "boolean" for field in entity.fields):
            named = _named_fields(entity, entities, clauses)
            entity = entity._replace(fields=(*(named or (Field("name"),)), *entity.fields))  # noqa: PLW2901
            fields = " and ".join(field.name for field in entity.fields)
            assumptions.append(f"No objective lists the fields of {entity.name.replace('_', ' ')}; taken: {fields}.")
        completed.append(entity)
    for at, entity in enumerate(completed):
        changed = entity
        for clause in clauses:
            if _means(entity, clause.words, completed):
                changed = constrained(changed, clause.words)
                changed = _related(changed, clause.words, completed)
        completed[at] = changed
    for entity in completed:
        assumptions.extend(
            f"The field {field.name} of {entity.name.replace('_', ' ')} is taken to be {_article(field.kind)}, "
            "because of its name."
            for field in entity.fields
            if field.kind not in {"text", "choice", "reference"}
        )
    return completed


def _article(kind: str) -> str:
    return {
        "integer": "a whole number",
        "decimal": "a decimal number",
        "boolean": "yes or no",
        "date": "a date",
        "datetime": "a date with a time",
        "email": "an e-mail address",
        "url": "a web address",
    }[kind]


def _named_fields(entity: Entity, entities: Sequence[Entity], clauses: Sequence[_Clause]) -> tuple[Field, ...]:
    """The fields by which records are searched, sorted or added up: "search books by title"."""
    from app.agents.fields import field_of

    named: dict[str, Field] = {}
    for clause in clauses:
        words = clause.words
        if not _means(entity, words, entities):
            continue
        for at, word in enumerate(words[:-1]):
            if word == "by" and words[at + 1] not in FILLERS | _MARKS and (field := field_of(words[at + 1 : at + 2])):
                named.setdefault(field.name, field)
    return tuple(named.values())


def _means(entity: Entity, words: Sequence[str], entities: Sequence[Entity]) -> bool:
    """Whether a clause is about the entity: it names it, or it names none and there is no other."""
    if mentions_of(entity.single, words):
        return True
    if any(mentions_of(each.single, words) for each in entities):
        return False
    return len(entities) == 1 or any(mentions_of(field.name, words) for field in entity.fields)


def _related(entity: Entity, words: Sequence[str], entities: Sequence[Entity]) -> Entity:
    """The entity with a reference to the one that it belongs to: "orders belong to customers"."""
    text = " ".join(words)
    for other in entities:
        single, name = other.single.replace("_", " "), other.name.replace("_", " ")
        mine = f"(?:{entity.single.replace('_', ' ')}|{entity.name.replace('_', ' ')})"
        says = rf"\b{mine} (?:belongs?|refers?|(?:is|are) (?:assigned|linked|related)) to (?:an? |one |the )?(?:{single}|{name})\b"
        if other.name != entity.name and _found_in(says, text):
            field = Field(f"{other.single}_id", "reference", target=other.name)
            others = tuple(each for each in entity.fields if each.name not in {other.single, field.name})
            return entity._replace(fields=(*others, field))
    return entity


def _found_in(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def _uses(
    clauses: Sequence[_Clause], kinds: Sequence[str], entities: list[Entity], used: list[set[int]], brief: Brief
) -> tuple[list[list[Use]], list[list[str]]]:
    """For each objective what covers it, and the words that nothing knows."""
    uses: list[list[Use]] = [[] for _ in brief.objectives]
    left: list[list[str]] = [[] for _ in brief.objectives]
    latest: list[str] = []
    current = entities[0] if entities else None
    for clause, told in zip(clauses, used, strict=True):
        mentioned = [entity for entity in entities if mentions_of(entity.single, clause.words)]
        by_field = [
            entity for entity in entities if any(mentions_of(field.name, clause.words) for field in entity.fields)
        ]
        if not mentioned and by_field and current not in by_field:
            mentioned = by_field
        current = mentioned[0] if mentioned else current
        meant = clause.named or [*latest, *(kind for kind in kinds if kind not in latest)]
        latest = clause.named or latest
        subjects = mentioned or ([current] if current else [])
        known = _known_positions(clause, told, entities)
        matched = _matched(clause, meant, subjects, known, is_told=bool(mentioned or by_field or told), is_listed=bool(told))
        for template, capability in matched:
            uses[clause.objective].extend(_used(template, capability, clause, subjects))
        known |= {
            at
            for template in dict.fromkeys(template for template, _ in matched)
            for capability in template.capabilities
            if (template, capability) in matched or capability.name == "base"
            for pattern in capability.patterns
            for at in positions(pattern, clause.words)
        }
        left[clause.objective] += _unknown(clause.words, known)
    return uses, left


def _known_positions(clause: _Clause, told: set[int], entities: Sequence[Entity]) -> set[int]:
    """The words that name kinds of projects, entities or fields."""
    known = set(told)
    for kind in clause.named:
        for pattern in templates()[kind].words:
            known |= set(positions(pattern, clause.words))
    for entity in entities:
        for name in (entity.single, *(field.name for field in entity.fields)):
            for mention in mentions_of(name, clause.words):
                known |= set(mention)
    return known


def _matched(
    clause: _Clause, meant: Sequence[str], subjects: Sequence[Entity], known: set[int], *, is_told: bool, is_listed: bool
) -> list[tuple[Template, Capability]]:
    """The capabilities that a clause asks for: of the kinds that it names, or else of the first one that has any."""
    matched: list[tuple[Template, Capability]] = []
    for kind in (*meant, PROJECT):
        template = templates()[kind]
        if kind != PROJECT and matched and not clause.named:
            continue
        fitting = [each for each in template.capabilities if each.name != "base" and _match(each, clause.words)]
        covered = known | {
            at for each in fitting for pattern in each.patterns for at in positions(pattern, clause.words)
        }
        # Without a word about what is kept, "delete old log files" must not mean the records.
        is_clear = is_told or not _unknown(clause.words, covered)
        fitting = [
            each for each in fitting if each.needs in {"", "records"} or (is_clear and _has(each.needs, subjects))
        ]
        manages = "manage" if any(each.name == "manage" for each in template.capabilities) else ""
        if manages and is_told and (clause.named or is_listed) and not any(each.needs == "entity" for each in fitting) and subjects:
            fitting.append(template.capability(manages))
        if kind in clause.named or (fitting and any(each.name == "base" for each in template.capabilities)):
            fitting = [template.capability("base"), *fitting] if kind in clause.named else fitting
        elif not fitting and kind != PROJECT and not clause.named:
            base = next((each for each in template.capabilities if each.name == "base"), None)
            if (
                base
                and _match(base, clause.words)
                and not _unknown(clause.words, known | _base_positions(base, clause))
            ):
                fitting = [base]
        matched += [(template, each) for each in fitting]
    return matched


def _base_positions(base: Capability, clause: _Clause) -> set[int]:
    return {at for pattern in base.patterns for at in positions(pattern, clause.words)}


def _match(capability: Capability, words: Sequence[str]) -> bool:
    text = " ".join(words)
    return any(pattern.search(text) for pattern in capability.patterns)


def _has(needs: str, subjects: Sequence[Entity]) -> bool:
    """Whether there is an entity with the kind of field that a capability needs."""
    if needs == "entity":
        return bool(subjects)
    wanted = {"boolean": {"boolean"}, "number": {"integer", "decimal"}, "reference": {"reference"}}[needs]
    return any(field.kind in wanted for entity in subjects for field in entity.fields)


def _used(template: Template, capability: Capability, clause: _Clause, subjects: Sequence[Entity]) -> list[Use]:
    """The capability for each entity of the clause, with the fields that the clause names or else with all."""
    if not subjects or not capability.needs:
        return [Use(template.kind, capability.name, capability.says)]
    uses = []
    for entity in [each for each in subjects if capability.needs == "records" or _has(capability.needs, [each])]:
        named = tuple(field for field in entity.fields if mentions_of(field.name, clause.words))
        uses.append(Use(template.kind, capability.name, capability.says, entity, named))
    return uses


def _unknown(words: Sequence[str], known: set[int]) -> list[str]:
    return [word for at, word in enumerate(words) if at not in known and word not in FILLERS and word not in _MARKS]
