"""What agents are given and what they answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MAX_OBJECTIVES = 50
# Characters of one objective; what is longer is cut, and ends in an ellipsis.
MAX_OBJECTIVE = 1_000
# Characters of all objectives that are looked at: as many as a project may have.
MAX_TEXT = 100_000

_BULLET = re.compile(r"^(?:[-*+\u2022\u2013]|\(?\d{1,3}[.)]|\(?[A-Za-z]\))\s+")
_FIELD_LIST = re.compile(r"\b(?:with|having|has|have|fields?|columns?|attributes?|properties)\b|[:(]", re.IGNORECASE)
# A list of what is done: "create, read, update and delete books".
_ENDS_IN_VERB = re.compile(r"(?:^|\b(?:to|can|:) )\w+$|\b(?:add|create|delete|edit|read|remove|update)$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_BEGINS_OTHERWISE = re.compile(
    r"(?:an? (?:api|cli|command|data|home|import|landing|page|rest|script|service|site|static|terminal|tool|web)|"
    r"the|rest|api|add|build|check|convert|count|create|delete|display|edit|endpoint|export|filter|find|generate|get|"
    r"import|list|load|make|manage|page|print|provide|read|reject|remove|report|search|show|skip|sort|static|store|"
    r"support|test|tests|unit|update|upload|users?|validate|view|write)\b",
    re.IGNORECASE,
)


class AgentFailedError(Exception):
    """An agent cannot do its task; ``reason`` is a sentence for the person who reads it, and says what would help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Brief(NamedTuple):
    """The project as its tenant described it; ``objectives`` are those of ``objectives_of``."""

    project_id: str
    name: str
    client_name: str
    description: str
    objectives: tuple[str, ...]


class LearnedTemplate(NamedTuple):
    """A template that was learned: ``techs`` in the order of its stack, ``quality_score`` from 0 to 100."""

    template_id: str
    name: str
    task_pattern: str
    techs: tuple[str, ...]
    content: str
    quality_score: float


class PlannedTask(NamedTuple):
    """A task: ``key`` is unique within the run, ``needs`` are the keys of tasks that are done before it.

    ``priority`` is 1 (high), 2 or 3 (low).
    """

    key: str
    agent_type: str
    name: str
    description: str
    needs: tuple[str, ...] = ()
    priority: int = 2


class Job(NamedTuple):
    """A task with all that its agent may know.

    ``files`` are those of the run so far, by path. ``qa_round`` counts how often the qa agent has sent work back,
    0 at first; it may do so ``qa_rounds`` times.
    """

    brief: Brief
    task: PlannedTask
    files: Mapping[str, bytes]
    qa_round: int = 0
    qa_rounds: int = 2
    learned: Sequence[LearnedTemplate] = ()


class Outcome(NamedTuple):
    """What an agent has done.

    ``files`` are written or replaced, those of ``removed`` deleted; a path is relative, its segments are joined by "/".
    ``outputs`` are JSON. ``tasks`` are to be done next: the plan of the orchestrator, or what the qa agent sends back
    with the check that follows. ``message`` is one line for the watcher.
    """

    files: Mapping[str, bytes] = {}
    removed: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = {}
    tasks: tuple[PlannedTask, ...] = ()
    message: str = ""


def clean(text: str, limit: int) -> str:
    """The text on one line: without control and direction characters, blanks collapsed, cut to ``limit`` characters."""
    cut = text[: limit * 2]
    shown = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in cut)
    line = " ".join(shown.split())
    if len(line) > limit or len(text) > len(cut):
        line = line[: limit - 1].rstrip() + "\u2026"
    return line


def objectives_of(text: str) -> tuple[str, ...]:
    """The objectives of a text: its lines; if it has one line, its parts.

    These are between semicolons, or else its sentences, or else between commas. Bullets and numbers are dropped,
    repetitions too. A comma inside a list of fields ("books with title, author and year") or of what is done ("create,
    read and delete books") separates no objectives. What is more than ``MAX_OBJECTIVES`` is counted in a last one.
    """
    lines = [line for line in text[:MAX_TEXT].splitlines() if line.strip()]
    if len(lines) == 1:
        lines = _parts(lines[0])
    found = dict.fromkeys(clean(_BULLET.sub("", line.strip()), MAX_OBJECTIVE) for line in lines)
    found.pop("", None)
    objectives = list(found)
    if len(objectives) > MAX_OBJECTIVES:
        rest = len(objectives) - MAX_OBJECTIVES + 1
        objectives[MAX_OBJECTIVES - 1 :] = [f"{rest} further objectives, because at most {MAX_OBJECTIVES} are read"]
    return tuple(objectives)


def _parts(line: str) -> list[str]:
    if ";" in line:
        return line.split(";")
    sentences = _SENTENCE_END.split(line)
    return sentences if len(sentences) > 1 else _between_commas(line)


def _between_commas(line: str) -> list[str]:
    """The parts between commas; one that continues a list of fields stays with the part before it."""
    parts: list[str] = []
    depth = 0
    for part in line.split(","):
        begins_otherwise = _BEGINS_OTHERWISE.match(part.strip())
        before = parts[-1].rpartition(",")[2].strip() if parts else ""
        lists_verbs = begins_otherwise and _ENDS_IN_VERB.search(before) and _BEGINS_OTHERWISE.match(before.split()[-1])
        if parts and (depth or lists_verbs or (_FIELD_LIST.search(parts[-1]) and not begins_otherwise)):
            parts[-1] += f",{part}"
        else:
            parts.append(part)
        depth = max(0, depth + part.count("(") - part.count(")"))
    return parts
