"""Details of entities: fields where nobody lists any, what clauses say of fields, and which entity belongs to which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.agents.entities import Entity, constrained, mentions_of
from app.agents.fields import Field, field_of
from app.agents.words import FILLERS, singular, vocabulary

# What is managed where the objectives name nothing.
UNNAMED = Entity("items", "item", (Field("name"),))
_CONSTRAINTS = frozenset({"unique", "required", "positive", "negative"})
_BY = vocabulary("done_by_field")
_MAX_WORDS = 3
_IN_WORDS = {
    "integer": "a whole number",
    "decimal": "a decimal number",
    "boolean": "yes or no",
    "date": "a date",
    "datetime": "a date with a time",
    "email": "an e-mail address",
    "url": "a web address",
}


def completed(entities: Sequence[Entity], clauses: Sequence[Sequence[str]]) -> tuple[list[Entity], list[str]]:
    """The entities with all that the clauses say of them, each with a field at least, and what had to be assumed."""
    assumptions: list[str] = []
    found: list[Entity] = []
    for entity in entities:
        if any(field.kind != "boolean" for field in entity.fields):
            found.append(entity)
            continue
        named = _told_fields(entity, entities, clauses) or (Field("name"),)
        found.append(entity._replace(fields=(*named, *entity.fields)))
        fields = " and ".join(field.name for field in found[-1].fields)
        assumptions.append(f"No objective lists the fields of {_spaced(entity.name)}; taken: {fields}.")
    for at, entity in enumerate(found):
        detailed = entity
        for words in clauses:
            if _is_about(entity, words, found):
                detailed = _related(constrained(detailed, words), words, found)
        found[at] = detailed
    return _without_circles(found), [*assumptions, *_kinds_in_words(found)]


def _kinds_in_words(entities: Sequence[Entity]) -> Iterator[str]:
    for entity in entities:
        for field in entity.fields:
            if field.kind in _IN_WORDS:
                yield f"The field {field.name} of {_spaced(entity.name)} is read as {_IN_WORDS[field.kind]}."


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _told_fields(entity: Entity, entities: Sequence[Entity], clauses: Sequence[Sequence[str]]) -> tuple[Field, ...]:
    """The fields of which clauses speak: "search books by title", "the amount must be positive"."""
    named: dict[str, Field] = {}
    for words in clauses:
        if not _is_about(entity, words, entities):
            continue
        for before, word in pairwise(words if not _BY.isdisjoint(words) else ()):
            if before == "by" and word[0].isalpha() and word not in FILLERS and (field := field_of([word])):
                named.setdefault(field.name, field)
        if field := _constrained_field(entity, words):
            named.setdefault(field.name, field)
    return tuple(named.values())


def _constrained_field(entity: Entity, words: Sequence[str]) -> Field | None:
    if "must" not in words or _CONSTRAINTS.isdisjoint(words[words.index("must") :]):
        return None
    before = [word for word in words[: words.index("must")] if word not in FILLERS]
    own = {part for word in (entity.single, entity.name) for part in word.split("_")}
    return field_of([singular(word) for word in before if word not in own]) if 0 < len(before) <= _MAX_WORDS else None


def _is_about(entity: Entity, words: Sequence[str], entities: Sequence[Entity]) -> bool:
    """Whether a clause names the entity, or it names none and either one of its fields, or there is no other."""
    if mentions_of(entity.single, words):
        return True
    if any(mentions_of(each.single, words) for each in entities):
        return False
    return len(entities) == 1 or any(mentions_of(field.name, words) for field in entity.fields)


def _related(entity: Entity, words: Sequence[str], entities: Sequence[Entity]) -> Entity:
    """The entity with a reference to the one that it belongs to: "orders belong to customers"."""
    text = " ".join(words)
    mine = f"(?:{_spaced(entity.single)}|{_spaced(entity.name)})"
    for other in entities:
        theirs = f"(?:an? |one |the )?(?:{_spaced(other.single)}|{_spaced(other.name)})"
        verb = "(?:belongs?|refers?|(?:is|are) (?:assigned|linked|related))"
        if other.name != entity.name and re.search(rf"\b{mine} {verb} to {theirs}\b", text):
            field = Field(f"{other.single}_id", "reference", target=other.name)
            others = tuple(each for each in entity.fields if each.name not in {other.single, field.name})
            return entity._replace(fields=(*others, field))
    return entity


def _without_circles(entities: list[Entity]) -> list[Entity]:
    """The entities with references that may be empty where they lead in a circle, because nobody could be the first."""
    by_name = {entity.name: entity for entity in entities}

    def reaches(name: str, goal: str, seen: frozenset[str]) -> bool:
        if name == goal:
            return True
        targets = [field.target for field in by_name[name].fields if field.target and field.target not in seen]
        return any(reaches(target, goal, seen | {target}) for target in targets)

    return [
        entity._replace(
            fields=tuple(
                field._replace(required=False)
                if field.target and reaches(field.target, entity.name, frozenset({field.target}))
                else field
                for field in entity.fields
            )
        )
        for entity in entities
    ]
