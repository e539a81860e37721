"""The clauses of a project's objectives, with the kinds of project that each one names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.agents.catalogue import Capability, named_kinds, positions, templates
from app.agents.entities import Found, clauses_of, entities_in, subject_of
from app.agents.words import FILLERS, vocabulary

_BEGINNINGS = vocabulary("beginnings")
_MARKS = frozenset({",", ":", ";", "/", "&", "(", ")"})
_SITE = "static_site"


class Clause(NamedTuple):
    """A clause: the place of its objective from 0, its words, and the kinds that it names."""

    objective: int
    words: list[str]
    named: list[str]

    def asks_for(self, capability: Capability, known: frozenset[int] = frozenset()) -> bool:
        """Whether a pattern of the capability is in it, and not only in words that are known to mean something else."""
        return not self.covered_by([capability]) <= known

    def covered_by(self, capabilities: Iterable[Capability]) -> set[int]:
        """The positions of the words that belong to patterns of these capabilities."""
        return {at for each in capabilities for pattern in each.patterns for at in positions(pattern, self.words)}

    def unknown(self, known: set[int]) -> list[str]:
        """The words that say something, and are at none of the known positions."""
        return [
            word for at, word in enumerate(self.words) if at not in known and word not in FILLERS and word not in _MARKS
        ]


def read_clauses(objectives: Sequence[str]) -> list[Clause]:
    """The clauses of all objectives, in their order."""
    return [_clause(at, words) for at, text in enumerate(objectives) for words in clauses_of(text)]


def _clause(objective: int, words: list[str]) -> Clause:
    """In "create a REST service" the verb is about the service, and says nothing of records."""
    named = named_kinds(words)
    starts = [
        min(positions(pattern, words), default=len(words)) for kind in named for pattern in templates()[kind].words
    ]
    if starts and words[0] in _BEGINNINGS and all(word in FILLERS for word in words[1 : min(starts)]):
        words = words[1:]
    return Clause(objective, words, named)


def find_entities(clauses: Sequence[Clause], kinds: Sequence[str]) -> tuple[list[Found], list[set[int]]]:
    """The entities of the clauses about what keeps records, and for each clause which words have told of them."""
    found: list[Found] = []
    used: list[set[int]] = []
    context = ""
    for clause in clauses:
        seen: set[int] = set()
        for each in _entities_of(clause, kinds, context):
            found.append(each)
            seen |= each.used
            context = each.words[-1]
        used.append(seen)
    return found, used


def _entities_of(clause: Clause, kinds: Sequence[str], context: str) -> list[Found]:
    if not any(templates()[kind].manages != "never" for kind in clause.named or kinds):
        return []
    if clause.named:
        subject = subject_of(clause.words)
        return list(entities_in(clause.words, context=context)) or ([subject] if subject else [])
    if _SITE in kinds and any(clause.asks_for(each) for each in templates()[_SITE].capabilities if each.name != "base"):
        # A list of pages or sections is none of fields.
        return []
    # "OAuth login with Google" speaks of no records: they come in the plural, or one by one.
    return [each for each in entities_in(clause.words, context=context) if each.is_several or not each.fields]
