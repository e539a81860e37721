"""What a project keeps records of, read from its objectives: entities, their fields, and what is said of these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.agents.fields import MAX_FIELDS, Field, field_of
from app.agents.words import plural, singular, slug, tokens, vocabulary

MAX_ENTITIES = 8
_MAX_NOUN_WORDS = 3

_PLAIN_VERBS = vocabulary("verbs")
VERBS = (
    _PLAIN_VERBS
    | {f"{verb}s" for verb in _PLAIN_VERBS}
    | {f"{verb.removesuffix('e')}ing" for verb in _PLAIN_VERBS}
    | {"getting"}
)
_MARKING = vocabulary("marking")
_OTHER_VERBS = vocabulary("other_verbs")
_LISTS = vocabulary("lists")
_MARKS = frozenset({",", ":", ";", "/", "&", "(", ")"})
# What may stand between a noun and the list of its fields: "orders in a CSV file with", "each book of the API has".
_OVER = frozenset({"from", "in", "as", "of", "a", "an", "the", "their", ","})
_FIELD_WORDS = _LISTS - {"with", "having", "has", "have", "(", ":"}
_BETWEEN = vocabulary("between")
_ONE = vocabulary("one")
_PREPOSITIONS = vocabulary("prepositions")
_GENERIC = vocabulary("generic")
_NO_ENTITY = _GENERIC | vocabulary("no_entity")
_NO_FIELD = vocabulary("no_field")
_NO_NOUN = _BETWEEN | _PREPOSITIONS | _MARKS | vocabulary("vague") | VERBS | _OTHER_VERBS | _MARKING | _LISTS

ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63}){1,3}")


class Entity(NamedTuple):
    """What records are kept of: ``name`` is in the plural, ``single`` in the singular, both as in "purchase_orders"."""

    name: str
    single: str
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field | None:
        """The field of this name."""
        return next((field for field in self.fields if field.name == name), None)


class Found(NamedTuple):
    """An entity in a clause, and the positions of the words that have told of it.

    It ``is_several`` if the clause speaks of it in the plural, or of each one.
    """

    words: tuple[str, ...]
    fields: tuple[Field, ...]
    used: frozenset[int]
    is_several: bool = True


def entities_in(clause: Sequence[str], *, context: str = "") -> Iterator[Found]:
    """The entities of a clause with the fields that it lists; a list without an entity is of that of the context."""
    at = 0
    while at < len(clause):
        word = clause[at]
        if word in _LISTS:
            yielded, at = _listed(clause, at, context)
            yield from yielded
        elif word in VERBS or word in _MARKING:
            words, used = _noun_after(clause, at + 1)
            if words and (_is_several(clause, used) or clause[used[0] - 1] in _ONE):
                yield Found(words, _marked(clause, at), frozenset(used), _is_several(clause, used))
            at += 1
        else:
            at += 1


def subject_of(clause: Sequence[str]) -> Found | None:
    """The entity of "a service for books", where nothing else tells of one; it stands in the plural."""
    for at, word in enumerate(clause):
        if word in {"for", "of"} and (noun := _noun_after(clause, at + 1))[0] and noun[0][-1] != singular(noun[0][-1]):
            return Found(noun[0], (), frozenset(noun[1]), is_several=True)
    return None


def merged(found: Sequence[Found]) -> list[Entity]:
    """One entity for each name, with the fields of all its mentions."""
    fields: dict[tuple[str, ...], dict[str, Field]] = {}
    if any(each.fields for each in found):
        # What is told once in the singular, and has no fields, is rather the place of the others: "a todo list: tasks".
        listed = {singular(each.words[-1]) for each in found if each.fields or each.is_several}
        found = [each for each in found if singular(each.words[-1]) in listed]
    for each in found:
        words = (*each.words[:-1], singular(each.words[-1]))
        if words not in fields and len(fields) == MAX_ENTITIES:
            continue
        known = fields.setdefault(words, {})
        for field in each.fields:
            becomes_boolean = field.kind == "boolean" and field.name in known and known[field.name].kind == "text"
            known[field.name] = field if becomes_boolean else known.get(field.name, field)
    entities = [
        Entity(
            slug("_".join((*words[:-1], plural(words[-1])))), slug("_".join(words)), tuple(known.values())[:MAX_FIELDS]
        )
        for words, known in fields.items()
    ]
    return [entity for entity in entities if entity.name and not entity.name.startswith("sqlite_")]


def _listed(clause: Sequence[str], at: int, context: str) -> tuple[list[Found], int]:
    """What a list of fields that begins here says, and where to read on."""
    start = at
    while at < len(clause) and (clause[at] in _LISTS or clause[at] in {"the", "following", "and"}):
        at += 1
    words, used = _noun_before(clause, start)
    says_fields = any(word in _FIELD_WORDS for word in clause[start:at])
    name = words or ((context,) if context and says_fields else ())
    fields, end = _fields(clause, at, singular(name[-1]) if name else "", in_parentheses=clause[at - 1] == "(")
    if not name or not fields:
        return [], at
    several = not words or _is_several(clause, used) or _is_one_of_many(clause, used[0])
    return [Found(name, tuple(fields), frozenset(used) | frozenset(range(start, end)), several)], end


def _is_several(clause: Sequence[str], used: Sequence[int]) -> bool:
    last = clause[used[-1]]
    after = clause[used[-1] + 1] if used[-1] + 1 < len(clause) else ""
    return (
        last != singular(last)
        or plural(last) == last
        or clause[used[0] - 1] in {"each", "every"}
        or after in {"data", "details", "entries", "information", "records", "rows"}
    )


def _is_one_of_many(clause: Sequence[str], at: int) -> bool:
    """Whether the noun that begins here is something that is made: "creates a book"."""
    return at > 1 and clause[at - 1] in _ONE and clause[at - 2] in VERBS


def _fields(clause: Sequence[str], at: int, entity: str, *, in_parentheses: bool) -> tuple[list[Field], int]:
    """The fields of a list that begins here, and where it ends."""
    fields: list[Field] = []
    end = at
    while at < len(clause) and len(fields) < MAX_FIELDS:
        words: list[str] = []
        while at < len(clause) and clause[at] not in {",", "and", "&", ";", "(", ")", "plus", ":"}:
            words.append(clause[at])
            at += 1
        beside: list[str] = []
        after = at
        if at < len(clause) and clause[at] == "(":
            after = next((mark for mark in range(at, len(clause)) if clause[mark] == ")"), len(clause) - 1) + 1
            beside = list(clause[at + 1 : after - 1])
        item = _until_preposition(words)
        field = field_of(item, beside, entity) if _may_name_field(item) else None
        if field is None and words:
            break
        if field:
            fields.append(field)
            end = at = after
            if len(item) < len(words):
                return fields, end - (len(words) - len(item))
        if at < len(clause) and clause[at] == ")":
            return fields, at + 1 if in_parentheses else at
        if at >= len(clause) or clause[at] in {";", ":"} or (clause[at] == "(" and not field):
            break
        at += 1
    return fields, end


def _until_preposition(words: list[str]) -> list[str]:
    """The words that may name a field: up to a preposition, but for "date of birth" and "published on"."""
    for at, word in enumerate(words):
        if word in _LISTS and at:
            return []
        ends = at == len(words) - 1
        if (
            word in _PREPOSITIONS
            and at
            and not (word in {"of", "as"} and not ends)
            and not (word in {"on", "at"} and ends)
        ):
            return words[:at]
    return words


def _may_name_field(words: list[str]) -> bool:
    if words[:1] == ["is"] and len(words) == 2:
        return True
    if not words or words[0] in VERBS | _OTHER_VERBS | _PREPOSITIONS:
        return False
    return words[:2] == ["number", "of"] or not any(word in _NO_FIELD or word.startswith("--") for word in words)


def _noun_after(clause: Sequence[str], at: int) -> tuple[tuple[str, ...], list[int]]:
    """The noun after a verb, over articles and over other verbs: of "create, list and delete the books"."""
    while at < len(clause) and (clause[at] in _BETWEEN or clause[at] in VERBS or clause[at] in {",", "/", "&"}):
        at += 1
    if at + 1 < len(clause) and clause[at] in _GENERIC and clause[at + 1] == "of":
        at += 2
        while at < len(clause) and clause[at] in _BETWEEN:
            at += 1
    taken: list[int] = []
    while at < len(clause) and len(taken) <= _MAX_NOUN_WORDS and _is_noun(clause[at]):
        taken.append(at)
        at += 1
    return _named(clause, taken)


def _noun_before(clause: Sequence[str], at: int) -> tuple[tuple[str, ...], list[int]]:
    """The noun before a list of fields, over words about how it is kept: of "orders from CSV files"."""
    at -= 1
    while at >= 0 and (clause[at] in _NO_ENTITY or clause[at] in _OVER):
        at -= 1
    taken: list[int] = []
    while at >= 0 and len(taken) <= _MAX_NOUN_WORDS and _is_noun(clause[at]):
        taken.insert(0, at)
        at -= 1
    return _named(clause, taken)


def _is_noun(word: str) -> bool:
    return word[0].isalpha() and word not in _NO_NOUN


def _named(clause: Sequence[str], taken: list[int]) -> tuple[tuple[str, ...], list[int]]:
    """The words of a name at these positions, without those about how it is kept."""
    while taken and clause[taken[-1]] in _GENERIC:
        taken = taken[:-1]
    while taken and clause[taken[0]] in _NO_ENTITY:
        taken = taken[1:]
    words = tuple(clause[at] for at in taken)
    if not words or len(words) > _MAX_NOUN_WORDS or not _NO_ENTITY.isdisjoint(words) or not slug("_".join(words)):
        return (), []
    return words, taken


def _marked(clause: Sequence[str], at: int) -> tuple[Field, ...]:
    """The yes or no that "mark tasks as done" needs."""
    rest = list(clause[at:])
    if clause[at] in _MARKING and "as" in rest[:-1]:
        word = rest[rest.index("as") + 1]
        if word[0].isalpha() and slug(word):
            return (Field(slug(word), "boolean", required=False),)
    return ()


def constrained(entity: Entity, clause: Sequence[str]) -> Entity:
    """The entity with what the clause says of its fields: "email must be unique", "amounts are positive"."""
    fields = []
    for field in entity.fields:
        changed = field
        for at in mentions_of(field.name, clause):
            before, after = clause[max(0, at.start - 1) : at.start], list(clause[at.stop : at.stop + 6])
            said = {*before, *after[: next((mark for mark, word in enumerate(after) if word in {",", "and"}), 6)]}
            changed = _changed(changed, said)
        fields.append(changed)
    return entity._replace(fields=tuple(fields))


def _changed(field: Field, said: set[str]) -> Field:
    if "unique" in said:
        field = field._replace(unique=True)
    if said & {"required", "mandatory"}:
        field = field._replace(required=True)
    if "optional" in said:
        field = field._replace(required=False)
    if field.kind in {"integer", "decimal"}:
        if "positive" in said or {"greater", "zero"} <= said:
            field = field._replace(bound="positive")
        elif "negative" in said:
            field = field._replace(bound="not negative")
    return field


def mentions_of(name: str, clause: Sequence[str]) -> list[range]:
    """Where a clause names a field or an entity, in the singular or the plural."""
    words = [singular(word) for word in name.split("_")]
    folded = [singular(word.replace("e-mail", "email")) for word in clause]
    return [
        range(at, at + len(words))
        for at in range(len(folded) - len(words) + 1)
        if folded[at : at + len(words)] == words
    ]


def clauses_of(objective: str) -> list[list[str]]:
    """The clauses of an objective as words: between semicolons and full stops."""
    parts = re.split(r"[.;!?]\s+|;|[.!?]$", ADDRESS.sub(" ", objective))
    return [words for part in parts if (words := tokens(part))]
