"""Samples of values for the tests of a project: right ones, and wrong ones."""

from __future__ import annotations

import csv
import io
from typing import Any

from app.agents.catalogue import templates
from app.agents.coverage import Use
from app.agents.entities import Entity, mentions_of
from app.agents.fields import Field
from app.agents.pages import Page, Section, Site
from app.agents.specification import Specification
from app.agents.words import tokens

_SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "maxLength": 10_000},
    "integer": {"type": "integer"},
    "decimal": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "url": {"type": "string", "format": "uri"},
    "reference": {"type": "integer", "minimum": 1},
}


def example(entity: Entity, number: int) -> dict[str, Any]:
    """The values of the first or the second example; a reference is filled in by the test."""
    return {field.name: _value(field, number) for field in entity.fields if not field.target}


def _value(field: Field, number: int) -> Any:
    name = field.name.replace("_", " ")
    return {
        "text": f"{name.capitalize()} {'one' if number == 1 else 'two'}",
        "integer": 1990 + number if name.endswith("year") else 10 * number,
        "decimal": f"{12 * number}.50",
        "boolean": False,
        "date": f"2024-0{number}-15",
        "datetime": f"2024-0{number}-15T10:30:00",
        "email": f"person.{'one' if number == 1 else 'two'}@example.com",
        "url": f"https://example.com/{number}",
        "choice": field.options[(number - 1) % len(field.options)] if field.options else "",
    }[field.kind]


def boolean_fields(use: Use) -> list[Field]:
    """The yes-or-no fields that a use is about."""
    fields = use.fields or (use.entity.fields if use.entity else ())
    named = [field for field in fields if field.kind == "boolean"]
    return named or [field for field in (use.entity.fields if use.entity else ()) if field.kind == "boolean"]


def search_fields(use: Use) -> list[Field]:
    """The fields by which a use finds records."""
    entity_fields = use.entity.fields if use.entity else ()
    return [field for field in use.fields or entity_fields if field.kind != "reference"]


def required_names(entity: Entity) -> list[str]:
    """The fields without which there is no record."""
    return [field.name for field in entity.fields if field.required and field.kind != "boolean"]


def wrong_values(use: Use) -> list[tuple[Field, Any]]:
    """For each field that a use is about, a value that it refuses."""
    wrong = {
        "text": 5,
        "integer": "many",
        "decimal": "much",
        "boolean": "perhaps",
        "date": "2023-02-29",
        "datetime": "noon",
        "email": "nobody",
        "url": "nowhere",
        "choice": "none of these",
        "reference": "nothing",
    }
    fields = use.fields or (use.entity.fields if use.entity else ())
    found: list[tuple[Field, Any]] = [(field, wrong[field.kind]) for field in fields]
    found += [(field, 0 if field.bound == "positive" else -1) for field in fields if field.bound]
    return found


def schema_of(field: Field) -> dict[str, Any]:
    """The JSON schema of a field."""
    if field.kind == "choice":
        return {"type": "string", "enum": list(field.options)}
    schema = dict(_SCHEMAS[field.kind])
    if field.kind == "integer" and field.bound:
        schema["minimum"] = 1 if field.bound == "positive" else 0
    return schema


def more_about(field: Field) -> str:
    """What a table of fields says beside kind and need."""
    said = []
    if field.unique:
        said.append("unique")
    if field.bound:
        said.append(field.bound)
    if field.options:
        said.append(f"one of: {', '.join(field.options)}")
    if field.target:
        said.append(f"refers to {field.target}")
    if field.header:
        said.append(f"column {field.header}")
    return "; ".join(said)


def tool_commands(spec: Specification) -> list[tuple[str, str, str]]:
    """The commands of the tool: name, an example, and what it does."""
    template = templates()["command_line_tool"]
    asked = spec.asked(template.kind)
    commands = [
        ("count", "count FILE...", "counts lines, words and characters", {"count", "frequent"}),
        ("frequent", "frequent FILE... --top 10", "lists the most frequent words", {"count", "frequent"}),
        ("find", "find TEXT FILE...", "finds lines with a text, or with `--regex` a pattern", {"grep"}),
        ("convert", "convert data.csv data.json", "converts CSV to JSON, or JSON to CSV", {"convert"}),
        ("summarize", "summarize data.csv", "sums up the numbers of each column", {"summarize"}),
        ("duplicates", "duplicates FOLDER", "finds files with the same content", {"duplicates"}),
    ]
    shown = [(name, sample, what) for name, sample, what, needed in commands if needed & asked]
    keeps = any("tool/record_commands.py" in each.files for each in template.capabilities if each.name in asked)
    for entity in spec.entities if keeps else ():
        options = " ".join(f"--{field.name} ..." for field in entity.fields if field.required)
        shown += [
            (entity.name, f"{entity.name} add {options}", f"adds a {entity.single.replace('_', ' ')}"),
            (entity.name, f"{entity.name} list", "lists them; `--search`, `--sort`, and any field as a filter"),
            (entity.name, f"{entity.name} update ID --field value", "changes one"),
            (
                entity.name,
                f"{entity.name} show ID`, `remove ID`, `totals --by FIELD`, `export",
                "shows one, removes one, counts them, prints all as CSV",
            ),
        ]
    return shown


def total_fields(use: Use) -> list[tuple[Field | None, Field]]:
    """The number that is added up, if there is one, and the field by which: those of the use, or the first ones."""
    fields = use.entity.fields if use.entity else ()
    numbers = [field for field in fields if field.kind in {"integer", "decimal"}]
    number = next((field for field in (*use.fields, *numbers) if field in numbers), None)
    others = [field for field in (*use.fields, *fields) if field != number and not field.target]
    by = others[0] if others else number
    return [(number, by)] if by else []


def header_names(entity: Entity) -> list[str]:
    """The names of the columns of a file with records."""
    return [field.header or field.name for field in entity.fields]


def csv_values(entity: Entity, number: int) -> list[str]:
    """The values of an example as cells."""
    values = example(entity, number)
    return [
        str(values.get(field.name, 1)).lower() if field.kind == "boolean" else str(values.get(field.name, 1))
        for field in entity.fields
    ]


def csv_row(cells: list[str]) -> str:
    """A line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def pages_named(text: str, site: Site) -> list[Page]:
    """The pages that a text names, or else the first one."""
    words = tokens(text)
    return [page for page in site.pages if mentions_of(page.slug, words)] or [site.pages[0]]


def sections_named(text: str, site: Site) -> list[tuple[str, Section | Page]]:
    """The sections that a text names, each with the page on which it stands; one of a page's name is that page."""
    words = tokens(text)
    sections: list[tuple[str, Section | Page]] = [
        (page.slug, section) for page in site.pages for section in page.sections if mentions_of(section.slug, words)
    ]
    return sections + [(page.slug, page) for page in site.pages[1:] if mentions_of(page.slug, words)]
