"""Coverage: which capability of which template each objective asks for, and which of its words nothing knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.agents.catalogue import PROJECT, Capability, Template, positions, templates
from app.agents.clauses import Clause
from app.agents.entities import Entity, mentions_of
from app.agents.fields import Field

_BASE, _MANAGE = "base", "manage"
_FIELD_KINDS = {"boolean": {"boolean"}, "number": {"integer", "decimal"}, "reference": {"reference"}}


class Use(NamedTuple):
    """A capability of a template that an objective asks for, of an entity and its fields where it has some."""

    kind: str
    capability: str
    says: str
    entity: Entity | None = None
    fields: tuple[Field, ...] = ()


class Coverage(NamedTuple):
    """What covers an objective, and the words in it that no template knows."""

    uses: list[Use]
    left: list[str]


class _Subject(NamedTuple):
    """What a clause is about: its entities, or those of clauses before it.

    ``about_records`` are the words that tell of them, ``known`` these and those that name a kind of project.
    """

    entities: list[Entity]
    is_named: bool
    is_listed: bool
    about_records: frozenset[int]
    known: set[int]


def cover(
    count: int, clauses: Sequence[Clause], kinds: Sequence[str], entities: list[Entity], used: Sequence[set[int]]
) -> list[Coverage]:
    """The coverage of each of so many objectives; ``used`` are the words of each clause that have told of entities."""
    coverage = [Coverage([], []) for _ in range(count)]
    latest: list[str] = []
    current = entities[:1]
    for clause, told in zip(clauses, used, strict=True):
        subject = _subject(clause, told, entities, current)
        current = subject.entities[:1]
        meant = clause.named or [*latest, *(kind for kind in kinds if kind not in latest)]
        latest = clause.named or latest
        matched = _matched(clause, meant, subject)
        for template, capabilities in matched:
            for capability in capabilities:
                coverage[clause.objective].uses.extend(_uses(template, capability, clause, subject.entities))
        known = subject.known | {
            at for template, capabilities in matched for at in clause.covered_by([*capabilities, *_base_of(template)])
        }
        coverage[clause.objective].left.extend(clause.unknown(known))
    return _without_empty_kinds(coverage, kinds)


def _without_empty_kinds(coverage: list[Coverage], kinds: Sequence[str]) -> list[Coverage]:
    """The coverage without kinds that need files of a capability, if no capability that is asked for brings any."""
    empty = {
        kind
        for kind in kinds
        if templates()[kind].needs_files
        and not any(
            templates()[kind].capability(use.capability).files
            for each in coverage
            for use in each.uses
            if use.kind == kind
        )
    }
    return [Coverage([use for use in each.uses if use.kind not in empty], each.left) for each in coverage]


def _subject(clause: Clause, told: set[int], entities: list[Entity], current: list[Entity]) -> _Subject:
    named = [entity for entity in entities if mentions_of(entity.single, clause.words)]
    by_field = [entity for entity in entities if any(mentions_of(field.name, clause.words) for field in entity.fields)]
    if not named and not any(entity in by_field for entity in current):
        named = by_field
    about_records = told | {
        at
        for entity in entities
        for name in (entity.single, *(field.name for field in entity.fields))
        for mention in mentions_of(name, clause.words)
        for at in mention
    }
    kinds = {
        at for kind in clause.named for pattern in templates()[kind].words for at in positions(pattern, clause.words)
    }
    is_named = bool(named or by_field or told)
    return _Subject(named or current, is_named, bool(told), frozenset(about_records), about_records | kinds)


def _matched(clause: Clause, meant: Sequence[str], subject: _Subject) -> list[tuple[Template, list[Capability]]]:
    """The capabilities that a clause asks for: of all kinds that it names, or else of the first one that has any."""
    matched: list[tuple[Template, list[Capability]]] = []
    for kind in meant:
        if clause.named or not matched:
            capabilities = _fitting(templates()[kind], clause, subject)
            if kind in clause.named:
                capabilities = [*_base_of(templates()[kind]), *capabilities]
            elif not _says_enough(clause, capabilities, subject):
                continue
            if capabilities:
                matched.append((templates()[kind], capabilities))
    if for_all := _fitting(templates()[PROJECT], clause, subject):
        matched.append((templates()[PROJECT], for_all))
    return matched


def _says_enough(clause: Clause, capabilities: Sequence[Capability], subject: _Subject) -> bool:
    """Whether at least half of what a clause says is known, because a single word may be there by chance."""
    known = subject.known | clause.covered_by(capabilities)
    return len(clause.unknown(known)) <= len(clause.unknown(set())) / 2


def _fitting(template: Template, clause: Clause, subject: _Subject) -> list[Capability]:
    """The capabilities of one template that a clause asks for, the base only if the clause says nothing else."""
    asked = [
        each for each in template.capabilities if each.name != _BASE and clause.asks_for(each, subject.about_records)
    ]
    # Without a word about what is kept, "delete old log files" must not mean the records.
    is_clear = subject.is_named or not clause.unknown(subject.known | clause.covered_by(asked))
    fitting = [
        each for each in asked if each.needs in {"", "records"} or (is_clear and _has(each.needs, subject.entities))
    ]
    is_about_records = bool(subject.entities) and subject.is_named and (subject.is_listed or bool(clause.named))
    base = _base_of(template)
    if is_about_records and template.manages != "never" and not any(each.needs for each in fitting):
        fitting += [each for each in template.capabilities if each.name == _MANAGE] or base
    if fitting or clause.named or not any(clause.asks_for(each) for each in base):
        return fitting
    return [] if clause.unknown(subject.known | clause.covered_by(base)) else base


def _base_of(template: Template) -> list[Capability]:
    return [each for each in template.capabilities if each.name == _BASE]


def _has(needs: str, entities: Sequence[Entity]) -> bool:
    """Whether there is an entity with the kind of field that a capability needs."""
    if needs == "entity":
        return bool(entities)
    return any(field.kind in _FIELD_KINDS[needs] for entity in entities for field in entity.fields)


def _uses(template: Template, capability: Capability, clause: Clause, entities: Sequence[Entity]) -> list[Use]:
    """The capability for each entity of the clause, with the fields that the clause names."""
    if not entities or not capability.needs:
        return [Use(template.kind, capability.name, capability.says)]
    return [
        Use(
            template.kind,
            capability.name,
            capability.says,
            entity,
            tuple(field for field in entity.fields if mentions_of(field.name, clause.words)),
        )
        for entity in entities
        if capability.needs == "records" or _has(capability.needs, [entity])
    ]
