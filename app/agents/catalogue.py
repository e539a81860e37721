"""The templates of projects: what each one covers, as its ``template.toml`` declares it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "templates"
# The template that every project gets.
PROJECT = "project"
# The template of what is kept: it comes with the templates that keep records.
RECORDS = "records"
# Folders of a template with what others render: tests of objectives, and reports.
_NO_AGENTS = frozenset({"objectives", "reports"})


class Capability(NamedTuple):
    """What a template can do.

    ``needs`` is nothing, "records" if it is about them, "entity" if the clause must be about one, or the kind of field
    that this must have: "number", "boolean" or "reference". ``files`` are written only if some objective asks for it;
    ``where`` is what does it.
    """

    name: str
    says: str
    patterns: tuple[re.Pattern[str], ...]
    needs: str
    files: tuple[str, ...]
    where: str


class Template(NamedTuple):
    """A kind of project.

    ``words`` name it, ``manages`` says whether it keeps records: always, sometimes, never. One that ``needs_files`` is
    nothing without a capability that brings files. ``replaces`` are the kinds that the same objective does not mean,
    and ``techs`` what learned templates must be made of.
    """

    kind: str
    title: str
    words: tuple[re.Pattern[str], ...]
    manages: str
    needs_files: bool
    replaces: tuple[str, ...]
    techs: frozenset[str]
    capabilities: tuple[Capability, ...]

    @property
    def folder(self) -> Path:
        """Where its files are, by the agent that writes them."""
        return FOLDER / self.kind

    def capability(self, name: str) -> Capability:
        """The capability of this name."""
        return next(each for each in self.capabilities if each.name == name)

    def unasked(self, asked: set[str]) -> set[str]:
        """The files that belong to capabilities of which none is asked for."""
        wanted = {path for each in self.capabilities if each.name in asked for path in each.files}
        return {path for each in self.capabilities for path in each.files} - wanted

    def agents(self) -> list[str]:
        """The types of agents that write files of it."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and path.name not in _NO_AGENTS)


@cache
def templates() -> dict[str, Template]:
    """All templates by kind, in the order in which they are asked whether they cover an objective."""
    declared = {path.parent.name: tomllib.loads(path.read_text()) for path in sorted(FOLDER.glob("*/template.toml"))}
    ordered = sorted(declared.items(), key=lambda item: item[1]["order"])
    return {kind: _template(kind, values) for kind, values in ordered}


def named_kinds(clause: Sequence[str]) -> list[str]:
    """The kinds of project that a clause names."""
    text = " ".join(clause)
    named = [kind for kind, template in templates().items() if any(word.search(text) for word in template.words)]
    replaced = {kind for each in named for kind in templates()[each].replaces}
    return [kind for kind in named if kind not in replaced]


def positions(pattern: re.Pattern[str], clause: Sequence[str]) -> Iterator[int]:
    """The positions of the words of a clause that a pattern covers."""
    text = " ".join(clause)
    starts = [0]
    for word in clause:
        starts.append(starts[-1] + len(word) + 1)
    for match in pattern.finditer(text):
        for at, word in enumerate(clause):
            if starts[at] < match.end() and starts[at] + len(word) > match.start() and match.end() > match.start():
                yield at


def _template(kind: str, values: dict[str, Any]) -> Template:
    return Template(
        kind,
        values["title"],
        _compiled(values.get("words", [])),
        values["manages"],
        values.get("needs_files", False),
        tuple(values.get("replaces", [])),
        frozenset(values["techs"]),
        tuple(
            Capability(
                name,
                each["says"],
                _compiled(each.get("patterns", [])),
                each.get("needs", ""),
                tuple(each.get("files", [])),
                each.get("where", next(iter(each.get("files", [])), values.get("where", ""))),
            )
            for name, each in values["capabilities"].items()
        ),
    )


def _compiled(patterns: list[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(rf"\b(?:{pattern})\b") for pattern in patterns)
