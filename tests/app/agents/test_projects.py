"""Projects from end to end: what somebody asks for becomes files whose own tests pass anywhere."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.agents import (
    IMPORTS,
    MIXED,
    SERVICES,
    SITES,
    TOOLS,
    brief_of,
    run_project,
    run_tests,
    write_files,
)

from app.agents.work import AgentFailedError, Sandbox, find_sandbox, plan

EVERYTHING = [
    *(("rest_service", text) for text in SERVICES),
    *(("command_line_tool", text) for text in TOOLS),
    *(("static_site", text) for text in SITES),
    *(("data_import", text) for text in IMPORTS),
    *(("rest_service", text) for text in MIXED),
]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox | None:
    return find_sandbox()


@pytest.mark.parametrize(("kind", "text"), EVERYTHING, ids=[text[:40].replace("\n", " ") for _, text in EVERYTHING])
async def test_what_is_asked_for_is_built_and_tested(
    kind: str, text: str, sandbox: Sandbox | None, tmp_path: Path
) -> None:
    brief = brief_of(text)

    run = await run_project(brief, sandbox)

    done = await asyncio.to_thread(run_tests, write_files(tmp_path, run.files))
    assert done.returncode == 0, done.stderr
    assert kind in run.outcomes["plan"].outputs["templates"]
    assert run.last.outputs["structure_analysis"]["is_complete"] is True
    assert run.last.outputs["quality"]["percent"] == 100
    tested = functions(run.text("tests/test_objectives.py"))
    for number, objective in enumerate(brief.objectives, 1):
        assert [name for name in tested if name.startswith(f"test_objective_{number:02}")], objective
        assert objective in run.text("README.md")
        assert objective in run.text("REPORT.md")
    assert "OAuth" in text or run.last.outputs["structure_analysis"]["not_covered"] == []


def functions(source: str) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]


async def test_what_no_template_covers_is_named_and_not_pretended(tmp_path: Path) -> None:
    run = await run_project(
        brief_of("REST API for books with title\nOAuth login with Google\ndelete books by SAP connector")
    )

    analysis = run.last.outputs["structure_analysis"]
    assert analysis["not_covered"] == ["OAuth login with Google"]
    assert analysis["partly_covered"] == ["delete books by SAP connector"]
    report = run.text("REPORT.md")
    assert re.search(r"### 2\. Not covered\n\n`OAuth login with Google`\n\nNo template covers it", report)
    assert "Not understood, and so not built: sap, connector." in report
    done = await asyncio.to_thread(run_tests, write_files(tmp_path, run.files))
    assert "OK (skipped=1)" in done.stderr


@pytest.mark.parametrize("text", ["", "Make users happy", "Todo app", "CLI", "Command line tool with OAuth"])
def test_where_nothing_is_covered_the_plan_fails_and_says_what_would_help(text: str) -> None:
    with pytest.raises(AgentFailedError, match="Say what is to be built: a data import, a REST service"):
        plan(brief_of(text))


async def test_a_run_is_the_same_each_time() -> None:
    first, second = [await run_project(brief_of(SERVICES[0])) for _ in range(2)]

    assert first.files == second.files


async def test_a_service_is_what_its_entities_say(tmp_path: Path) -> None:
    run = await run_project(brief_of(SERVICES[3]))

    described = json.loads(run.files["service/openapi.json"])
    properties = described["components"]["schemas"]["books"]["properties"]
    assert list(properties) == ["id", "title", "price", "status", "author_id"]
    assert properties["status"] == {"type": "string", "enum": ["new", "used"]}
    assert described["paths"]["/books"]["post"]["responses"]["201"]
    if node := shutil.which("node"):
        module = write_files(tmp_path, run.files) / "client" / "client.mjs"
        done = await asyncio.to_thread(subprocess.run, [node, "--check", module], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


async def test_a_download_keeps_every_file() -> None:
    """Hidden files, logs and databases are left out of a download, so no project may need any."""
    run = await run_project(brief_of(MIXED[0]))

    left_out = re.compile(r"(^|/)\.|\.(log|db|sqlite3?|tmp|bak|pyc|env)$|__pycache__")
    assert [path for path in run.files if left_out.search(path)] == []


async def test_a_site_that_is_broken_by_hand_fails_its_tests(tmp_path: Path) -> None:
    """The tests that a customer gets find what goes wrong later."""
    run = await run_project(brief_of(SITES[0]))
    folder = write_files(tmp_path, run.files)
    page = folder / "site" / "index.html"
    sound = page.read_text()
    for broken in (
        sound.replace('href="contact.html"', 'href="contacts.html"'),
        sound.replace("</nav>", "", 1),
        sound.replace('href="#main"', 'href="#top"'),
        sound.replace("</main>", "<script>1</script></main>"),
        sound.replace("</main>", '<img src="icon.svg"></main>'),
    ):
        assert broken != sound
        page.write_text(broken)
        done = await asyncio.to_thread(run_tests, folder)
        assert done.returncode == 1, broken
    style = folder / "site" / "style.css"
    page.write_text(sound)
    style.write_text(style.read_text().replace("--text: #1b1f24", "--text: #c0c0c0"))
    assert (await asyncio.to_thread(run_tests, folder)).returncode == 1


@pytest.mark.parametrize(
    ("path", "sound", "broken"),
    [
        ("service/application.py", "if not self._storage.delete", "if False and not self._storage.delete"),
        ("records/storage.py", "LIKE ? ESCAPE", "NOT LIKE ? ESCAPE"),
        ("records/fields.py", 'raise ValueError("is required")', "return None"),
        ("records/storage.py", "BEGIN IMMEDIATE", "SELECT 1"),
    ],
)
async def test_a_service_that_is_broken_by_hand_fails_its_tests(
    path: str, sound: str, broken: str, tmp_path: Path
) -> None:
    run = await run_project(brief_of(SERVICES[0]))
    folder = write_files(tmp_path, run.files)
    assert sound in run.text(path)
    (folder / path).write_text(run.text(path).replace(sound, broken))

    assert (await asyncio.to_thread(run_tests, folder)).returncode == 1
