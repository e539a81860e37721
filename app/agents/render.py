"""Files of a project, rendered from its templates."""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.agents import samples
from app.agents.catalogue import FOLDER, PROJECT, templates
from app.agents.coverage import Use
from app.agents.specification import Objective, Specification
from app.agents.words import slug

_MARKUP = (".html.j2", ".xml.j2", ".svg.j2")
# What tests of objectives may need, of the standard library and of the project's own tests.
_MODULES = ("csv", "io", "json", "re", "tempfile", "unittest")
_IMPORTS = (
    "from tests.import_runs import run_import",
    "from tests.pages import colours",
    "from tests.pages import contrast",
    "from tests.pages import pages_of_site",
    "from tests.service_client import start_service",
    "from tests.standard_library import is_standard",
    "from tests.test_tool_records import Records",
    "from tests.test_tool_records import options",
    "from tests.tool_runs import run_tool",
)
_PLACES = {
    "rest_service": "`service/`, started by `python3 -m service`",
    "command_line_tool": "`tool/`, started by `python3 -m tool`",
    "data_import": "`data_import/`, started by `python3 -m data_import`",
    "static_site": "`site/`, begins with `site/index.html`",
}


class TenantText:
    """A text of the tenant's. It is rendered only through a filter that makes it a literal, or escaped as HTML."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        """Whether there is any text."""
        return bool(self.text)

    def __html__(self) -> str:
        """The text, escaped; where a template escapes by itself it asks for this."""
        return html.escape(self.text)

    def __str__(self) -> NoReturn:
        """Refuse: a text of the tenant's in code would be code."""
        raise TypeError("A text of the tenant's was rendered without a filter")


class _Shown(NamedTuple):
    """An objective as templates see it."""

    number: int
    text: TenantText
    slug: str
    uses: tuple[Use, ...]
    left: tuple[str, ...]
    status: str


def render(spec: Specification, kind: str, agent: str) -> dict[str, bytes]:
    """The files that an agent writes of one template, by path."""
    context = _context(spec)
    folder = templates()[kind].folder / agent
    unasked = templates()[kind].unasked(spec.asked(kind))
    files: dict[str, bytes] = {}
    for template in _templates_in(folder):
        path = template.relative_to(folder).as_posix().removesuffix(".j2")
        if path in unasked:
            continue
        name = template.relative_to(FOLDER).as_posix()
        if "@page@" in path:
            for page in spec.site.pages:
                files[path.replace("@page@", page.slug)] = _rendered(name, {**context, "page": page})
        elif "@entity@" in path:
            for entity in spec.entities:
                files[path.replace("@entity@", entity.name)] = _rendered(name, {**context, "entity": entity})
        else:
            files[path] = _rendered(name, context)
    return files


@functools.cache
def _templates_in(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.rglob("*.j2")))


def report(spec: Specification, name: str, values: Mapping[str, Any]) -> bytes:
    """A report about the project, of a template in the folder of reports."""
    return _rendered(f"{PROJECT}/reports/{name}.j2", {**_context(spec), **values})


def name_of_test(objective: Objective | _Shown, use: Use | None = None) -> str:
    """The name of an objective's test, or of the one of its tests that is about this use."""
    name = f"test_{objective.slug}"
    if use is None or len(objective.uses) == 1:
        return name
    about = f"{use.capability}_{use.entity.name}" if use.entity else use.capability
    kinds = {each.kind for each in objective.uses if each.capability == use.capability}
    return f"{name}__{about if len(kinds) == 1 else f'{use.kind}_{about}'}"


def _rendered(name: str, context: Mapping[str, Any]) -> bytes:
    text = _environment().get_template(name).render(context)
    return ("\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n").encode()


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        # Markup is escaped; what becomes code has only names that the rules make, and literals.
        autoescape=lambda name: bool(name) and str(name).endswith(_MARKUP),  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "py": _literal,
        "json": lambda value: json.dumps(_plain(value), ensure_ascii=False),
        "md": lambda value: code_span(_plain(value)),
        "toml": lambda value: json.dumps(_plain(value), ensure_ascii=False),
        # argparse would take a percent sign for a value of its own.
        "argparse": lambda value: _literal(_plain(value).replace("%", "%%")),
        "spaced": lambda value: value.replace("_", " "),
        "plain": _plain,
    }
    environment.globals |= {
        "test_name": name_of_test,
        "examples": samples.example,
        "boolean_fields": samples.boolean_fields,
        "search_fields": samples.search_fields,
        "required_names": samples.required_names,
        "wrong_values": samples.wrong_values,
        "total_fields": samples.total_fields,
        "header_names": samples.header_names,
        "csv_values": samples.csv_values,
        "csv_row": samples.csv_row,
        "pages_named": samples.pages_named,
        "sections_named": samples.sections_named,
        "schema_of": samples.schema_of,
        "more_about": samples.more_about,
        "titles": {kind: template.title for kind, template in templates().items()},
        "places": _PLACES,
    }
    return environment


def _plain(value: Any) -> Any:
    return value.text if isinstance(value, TenantText) else value


def _literal(value: Any) -> str:
    """A value as Python writes it, texts between double quotes where nothing has to be escaped."""
    value = _plain(value)
    if isinstance(value, str):
        shown = repr(value)
        return shown if {'"', "'", "\\"} & set(shown[1:-1]) else f'"{shown[1:-1]}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


def code_span(text: str) -> str:
    """A text as Markdown shows it letter by letter: between more backticks than it has in a row itself."""
    longest = max((len(run) for run in "".join(each if each == "`" else " " for each in text).split()), default=0)
    fence = "`" * (longest + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}" if text else ""


def _tool_files(spec: Specification) -> set[str]:
    template = templates()["command_line_tool"]
    asked = spec.asked(template.kind)
    return {path for each in template.capabilities if each.name in asked for path in each.files}


@functools.lru_cache(maxsize=16)
def _context(spec: Specification) -> dict[str, Any]:
    objectives = [
        _Shown(each.number, TenantText(each.text), each.slug, each.uses, each.left, each.status)
        for each in spec.objectives
    ]
    packages = {
        "rest_service": "service",
        "command_line_tool": "tool",
        "data_import": "data_import",
        "records": "records",
    }
    context: dict[str, Any] = {
        "spec": spec,
        "project": {
            "slug": slug(spec.brief.project_id, 60, "project").replace("_", "-"),
            "name": TenantText(spec.brief.name),
            "client": TenantText(spec.brief.client_name),
            "description": TenantText(spec.brief.description),
        },
        "objectives": objectives,
        "current": "",
        "entities": spec.entities,
        "asked": {kind: spec.asked(kind) for kind in templates()},
        "packages": [packages[kind] for kind in spec.kinds if kind in packages],
        "tool_files": _tool_files(spec),
        "tool_commands": samples.tool_commands(spec),
    }
    methods = _environment().get_template(f"{PROJECT}/objectives/_methods.py.j2")
    body = methods.render(context)
    context["body"] = body
    context["modules"] = [each for each in _MODULES if each == "unittest" or re.search(rf"(?<![\w.]){each}\.", body)]
    context["imports"] = [line for line in _IMPORTS if re.search(rf"\b{line.rpartition(' ')[2]}\b[\[(.]", body)]
    return context
