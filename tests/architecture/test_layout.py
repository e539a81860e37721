"""The shape of the house: what imports what, how large, how named, how explained."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from app.settings import Settings

HOUSE = Path(__file__).parents[2]
ROOMS = ("app", "blueprints", "sql")
DOCUMENTS = (HOUSE / "README.md", HOUSE / "bench" / "README.md", *sorted((HOUSE / "docs").glob("*.md")))
MAX_LINES = 400
DRAWERS = {"base", "common", "helpers", "manager", "managers", "misc", "shared", "util", "utils"}


def modules(*rooms: str) -> list[Path]:
    """The Python files of these rooms, relative to the house."""
    return [
        path.relative_to(HOUSE)
        for room in rooms
        for path in sorted((HOUSE / room).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


def imported(path: Path) -> set[str]:
    """Everything a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((HOUSE / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HOUSE)

    assert lint_imports(config_filename=str(HOUSE / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS


def test_no_module_is_too_long_to_be_read_whole() -> None:
    lengths = {str(path): len((HOUSE / path).read_text().splitlines()) for path in modules(*ROOMS, "tests", "bench")}

    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}
    assert len(lengths) > 50


def test_there_is_no_object_mapper() -> None:
    mapped = [
        path
        for path in modules(*ROOMS, "tests", "bench")
        # What the bench compares with is a design that has one.
        if path.parts[:2] != ("bench", "orm_design")
        and any(name.startswith(("sqlalchemy.orm", "sqlalchemy.ext.declarative")) for name in imported(path))
    ]

    assert mapped == []


def test_what_is_said_to_the_database_asks_nobody_which_one_it_is() -> None:
    """One module knows the dialects' own constructs; what migrates may ask, because it runs once."""
    asking = [
        str(path)
        for path in modules("sql")
        if any(name.startswith("sqlalchemy.dialects") for name in imported(path))
        or "dialect.name" in (HOUSE / path).read_text()
    ]

    assert [path for path in asking if not path.startswith("sql/migrations")] == ["sql/dialect.py"]


def test_tests_are_found_by_path_and_make_no_package() -> None:
    assert len(modules("tests")) > 50
    assert [path for path in modules("tests") if path.name == "__init__.py"] == []


def test_no_folder_of_the_house_hides_a_library() -> None:
    """What is imported by a folder's name is ours, whatever else is installed: no library may have that name."""
    ours = {path.parent.name for path in HOUSE.glob("*/__init__.py")} | {"support"}
    libraries = {name for name, distributions in packages_distributions().items() if distributions != ["addon-portal"]}

    assert ours >= {*ROOMS, "bench"}
    assert ours & (libraries | sys.stdlib_module_names) == set()


def test_no_module_is_a_drawer() -> None:
    drawers = [str(path) for path in modules(*ROOMS, "tests") if path.stem in DRAWERS]

    assert drawers == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path) for path in modules(*ROOMS, "tests") if not ast.get_docstring(ast.parse((HOUSE / path).read_text()))
    ]

    assert silent == []


def test_nothing_of_one_machine_stands_in_a_file() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    files = listed.stdout.split() or [str(path) for path in modules(*ROOMS, "tests")]
    one_machine = re.compile("/" + "work/|/" + "home/[a-z]+/|\\.\\./" + "shared")
    found = [
        name
        for name in files
        if Path(name).suffix in {".py", ".md", ".toml", ".txt", ".sh", ".yml", ""}
        and (HOUSE / name).is_file()
        and one_machine.search((HOUSE / name).read_text(errors="ignore"))
        and not name.startswith("blueprints/static/swagger-ui")
    ]

    assert one_machine.search("/" + "work/portal")
    assert len(files) > 100
    assert found == ["tests/blueprints/test_problems.py"]


def test_no_password_stands_in_a_file() -> None:
    in_an_address = re.compile(r"\w+://[^\s/:@\"'<>{}]+:([^\s/@\"'<>{}]+)@")
    rooms = (*modules(*ROOMS, "bench"), *(path.relative_to(HOUSE) for path in HOUSE.glob("docs/*.md")))
    files = [str(path) for path in rooms] + ["README.md", "sanic.toml", ".ci/run", ".ci/wheel"]

    found = {(name, shown) for name in files for shown in in_an_address.findall((HOUSE / name).read_text())}

    assert in_an_address.findall("postgresql://portal:hunter2@db/portal") == ["hunter2"]
    assert {pair for pair in found if pair[1] != "password"} == set()
    assert len(found) > 1


# The library that brings a name where only those who measure have it installed.
ELSEWHERE = {"strawberry": "strawberry-graphql"}


def distribution(requirement: str) -> str:
    """The name of what a requirement asks for, as an index spells it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def test_every_library_that_is_imported_is_declared() -> None:
    """A library that only another one brings along is gone as soon as that one does without it."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    of_room = {**dict.fromkeys(ROOMS, extras["redis"]), "tests": extras["dev"], "bench": extras["bench"]}
    brought_by = packages_distributions()
    # A test generates the last of these.
    ours = {*ROOMS, "bench", "support", *sys.stdlib_module_names, "portal_client"}
    libraries: set[str] = set()
    undeclared: set[tuple[str, str]] = set()
    for room, extra in of_room.items():
        declared = {distribution(requirement) for requirement in (*project["dependencies"], *extra)}
        for path in modules(room):
            names = {name.partition(".")[0] for name in imported(path)} - ours
            libraries |= names
            # What is not installed here most often has the name by which it is imported.
            undeclared |= {
                (str(path), name)
                for name in names
                if not declared
                & {distribution(brought) for brought in brought_by.get(name, [ELSEWHERE.get(name, name)])}
            }

    assert undeclared == set()
    assert libraries >= {"sanic", "argon2", "croniter", "redis", "pytest", "fastapi"}


def test_every_library_that_is_declared_is_pinned() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    pinned = (HOUSE / "constraints.txt").read_text().lower()

    requirements = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert [name for name in requirements if f"\n{distribution(name)}==" not in f"\n{pinned}"] == []
    assert len(requirements) > 20
    assert "://" not in pinned


def test_documents_name_what_exists() -> None:
    paths: set[Path] = set()
    links: set[Path] = set()
    settings: set[str] = set()
    for document in DOCUMENTS:
        text = document.read_text()
        named = re.findall(r"`((?:app|blueprints|sql|tests|docs|bench|\.ci)/[\w./-]*)`", text)
        # In a recipe "..." stands for the module that fits.
        paths |= {HOUSE / name for name in named if "..." not in name}
        links |= {document.parent / name for name in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", text)}
        settings |= {name.lower() for name in re.findall(r"\bPORTAL_([A-Z_]+)\b", text)}

    assert [str(path.relative_to(HOUSE)) for path in paths | links if not path.exists()] == []
    assert settings - Settings.model_fields.keys() <= {"config_file", "secrets_dir", "proof"}
    assert all((paths, links, settings))


def test_a_web_worker_never_loads_the_providers_libraries_and_the_durable_engine() -> None:
    """They take seconds and 130 MB: whoever calls a model imports the first then, and whoever works the second."""
    large = {"dbos", "pydantic_ai", "openai", "anthropic", "google.genai", "genai_prices", "app.providers.chain"}
    large |= {"obstore", "stream_zip", "stripe", "httpx2"}
    imported = "app.commands.preload, app.jobs.schedules, app.services.llm.calls, app.providers.metering"
    program = f"import sys, {imported}; print({large} & set(sys.modules))"

    told = subprocess.run([sys.executable, "-c", program], cwd=HOUSE, check=True, capture_output=True, text=True)

    assert told.stdout.strip() == "set()"


def test_one_module_imports_stripes_library() -> None:
    importing = [
        str(path) for path in modules(*ROOMS) if {name.partition(".")[0] for name in imported(path)} & {"stripe"}
    ]

    # The gateway names its types, which are read by people and type checkers alone.
    assert importing == ["app/providers/stripe.py", "app/providers/stripe_library.py"]


def test_the_server_starts_its_workers_imports_before_its_own() -> None:
    """Until then it has imported nothing large: the workers' imports are what a start waits for."""
    large = {"sqlalchemy", "sanic", "asyncpg", "alembic", "structlog", "rich.console"}
    program = f"import sys, app.commands.serve; print({large} & set(sys.modules))"

    told = subprocess.run([sys.executable, "-c", program], cwd=HOUSE, check=True, capture_output=True, text=True)

    assert told.stdout.strip() == "set()"
