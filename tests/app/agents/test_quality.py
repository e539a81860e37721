"""Quality: it is computed, defects go back to whoever can mend them, and the end is honest."""

from __future__ import annotations

import asyncio
import contextlib

import psutil
import pytest
from support.agents import SITES, brief_of, run_project
from support.agents import Finished as FinishedRun

from app.agents.job import PlannedTask
from app.agents.work import AgentFailedError, LearnedTemplate, Sandbox, find_sandbox
from app.sandbox import Finished

BOOKS = "REST API for books with title and author\nsearch books by title"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    found = find_sandbox()
    if found is None:
        pytest.skip("there is no sandbox on this machine")
    return found


@pytest.fixture(scope="module")
async def sound() -> FinishedRun:
    """A run in which nothing goes wrong, without a sandbox."""
    return await run_project(brief_of(BOOKS))


def learned(content: str, name: str = "Book search", tech: str = "python") -> LearnedTemplate:
    return LearnedTemplate("t-1", name, "search books by title", (tech,), content, 95.0)


def before(agent_type: str, path: str, content: bytes | None, only_once: bool = True):
    """Changes a file before an agent's task, as somebody with access to it might."""
    done: list[str] = []

    def spoil(task: PlannedTask, files: dict[str, bytes]) -> None:
        if task.agent_type == agent_type and not (only_once and done):
            done.append(task.key)
            if content is None:
                files.pop(path, None)
            else:
                files[path] = content

    return spoil


async def test_with_a_sandbox_the_tests_are_part_of_the_figure(sandbox: Sandbox) -> None:
    run = await run_project(brief_of(BOOKS), sandbox)

    tests = run.last.outputs["tests"]
    assert tests["run"] is True
    assert (tests["failed"], tests["skipped"]) == (0, 0)
    assert tests["count"] > 10
    assert run.last.outputs["quality"] == {
        "percent": 100.0,
        "checks": run.last.outputs["quality"]["checks"],
        "failed": 0,
    }
    assert "which passed" in run.text("REPORT.md")
    assert f"{tests['count']} tests passed" in run.last.message


async def test_without_a_sandbox_they_are_not_run_and_that_is_said(sound: FinishedRun, sandbox: Sandbox) -> None:
    run, tried = sound, await run_project(brief_of(BOOKS), sandbox)

    assert run.last.outputs["tests"] == {"run": False, "reason": "not run, because there is no sandbox on this machine"}
    assert "tests not run, because there is no sandbox" in run.last.message
    assert "The tests were not run, because there is no sandbox on this machine." in run.text("REPORT.md")
    assert "passed" not in run.text("REPORT.md").split("## Checks")[0]
    more = tried.last.outputs["tests"]["count"]
    assert tried.last.outputs["quality"]["checks"] == run.last.outputs["quality"]["checks"] + more


async def test_a_defective_learned_template_goes_back_and_is_dropped() -> None:
    run = await run_project(brief_of(BOOKS), learned=[learned("def search(:\n")])

    keys = [task.key for task in run.tasks]
    assert keys[-4:] == ["qa-1", "mend-1-coder", "security-2", "qa-2"]
    first = run.outcomes["qa-1"]
    assert first.outputs["problems"] == ["learned/book_search.py: line 1: invalid syntax"]
    assert first.outputs["quality"]["percent"] < 100
    assert first.outputs["report"] is None
    assert "round 1 of 2" in first.message
    assert run.outcomes["mend-1-coder"].removed == ("learned/book_search.py",)
    assert "learned/book_search.py" not in run.files
    assert run.last.outputs["quality"]["percent"] == 100
    assert "`learned/book_search.py`, for objective 1, 2: left out: line 1: invalid syntax" in run.text("REPORT.md")


async def test_without_a_round_a_defective_file_fails_the_run() -> None:
    with pytest.raises(
        AgentFailedError, match=r"After 0 rounds of mending .* learned/book_search.py: line 1: invalid syntax"
    ):
        await run_project(brief_of(BOOKS), learned=[learned("def search(:\n")], qa_rounds=0)


async def test_a_sound_learned_template_is_added_as_it_is() -> None:
    content = "NAME = '{{ 7 * 7 }}'\n"
    run = await run_project(brief_of(BOOKS), learned=[learned(content)])

    assert run.text("learned/book_search.py") == content
    assert run.last.outputs["quality"]["percent"] == 100
    assert "`learned/book_search.py`, for objective 1, 2: added" in run.text("REPORT.md")
    assert all(b"book_search" not in each for path, each in run.files.items() if path.endswith(".py"))


async def test_a_learned_template_that_has_been_deleted_meanwhile_is_dropped_all_the_same() -> None:
    run = await run_project(brief_of(BOOKS), spoil=before("security", "learned/book_search.py", b"def ("))

    assert "learned/book_search.py" not in run.files
    assert run.last.outputs["quality"]["percent"] == 100


@pytest.mark.parametrize("content", ["import os\nos.system('ls')\n", "KEY = 'AKIAABCDEFGHIJKLMNOP'\n"])
async def test_a_suspicious_learned_template_is_dropped(content: str) -> None:
    run = await run_project(brief_of(BOOKS), learned=[learned(content)])

    assert run.outcomes["security"].outputs["findings"]
    assert run.outcomes["security-2"].outputs["findings"] == []
    assert "learned/book_search.py" not in run.files
    assert "Nothing of the kind was found" in run.text("SECURITY.md")


@pytest.mark.parametrize(
    ("path", "content", "maker", "problem"),
    [
        ("service/application.py", b"def (", "coder", "service/application.py: line 1: invalid syntax"),
        ("service/openapi.json", b"{", "integration", "service/openapi.json: Expecting property name"),
        ("pyproject.toml", b"a = ", "infrastructure", "pyproject.toml: Invalid value"),
        ("README.md", None, "workflow", "README.md: it is missing"),
        ("README.md", b"# Something else", "workflow", "README.md: objective 1 is not named"),
        ("tests/test_objectives.py", b"", "testing", "tests/test_objectives.py: objective 1 has no test"),
    ],
)
async def test_a_defect_goes_back_to_whoever_has_made_the_file(
    path: str, content: bytes | None, maker: str, problem: str, sound: FinishedRun
) -> None:
    run = await run_project(brief_of(BOOKS), spoil=before("security", path, content))

    problems = run.outcomes["qa-1"].outputs["problems"]
    assert any(each.startswith(problem) for each in problems), problems
    missing = run.outcomes["qa-1"].outputs["structure_analysis"]["missing_components"]
    assert (content is None) == (path in missing)
    assert [task.agent_type for task in run.tasks if task.key.startswith("mend-")] == [maker]
    assert run.files == sound.files


async def test_code_that_fails_its_tests_goes_back(sound: FinishedRun, sandbox: Sandbox) -> None:
    wrong = sound.files["records/storage.py"].replace(b"LIKE ?", b"NOT LIKE ?")

    run = await run_project(brief_of(BOOKS), sandbox, spoil=before("security", "records/storage.py", wrong))

    first = run.outcomes["qa-1"].outputs
    assert first["tests"]["failed"] >= 1
    assert "test_objective_02_search_books_by_title fails" in " ".join(first["problems"])
    assert "FAIL" in first["tests"]["output"]
    assert "mend-1-coder" in run.outcomes
    assert run.files["records/storage.py"] == sound.files["records/storage.py"]
    assert run.last.outputs["tests"]["failed"] == 0


async def test_what_is_spoilt_again_and_again_fails_the_run() -> None:
    always = before("qa", "service/application.py", b"def (", only_once=False)

    with pytest.raises(AgentFailedError, match="After 2 rounds of mending"):
        await run_project(brief_of(BOOKS), spoil=always)


async def test_a_file_that_nobody_has_made_fails_the_run() -> None:
    with pytest.raises(AgentFailedError, match=r"no agent can mend. stray.py: line 1"):
        await run_project(brief_of(SITES[0]), spoil=before("qa", "stray.py", b"def ("))


@pytest.mark.parametrize(
    "finished",
    [Finished(None, "half of it"), Finished(-9, ""), Finished(0, "no mark"), Finished(1, "\nMARK{")],
)
async def test_tests_that_do_not_end_by_themselves_have_failed(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_python(*_: object) -> Finished:
        return finished

    monkeypatch.setattr(Sandbox, "run_python", run_python)
    with pytest.raises(AgentFailedError, match="the tests did not end by themselves"):
        await run_project(brief_of(SITES[0]), Sandbox("bwrap"))


def in_sandbox() -> list[psutil.Process]:
    """The sandbox's processes below this one."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "bwrap" in child.name():
                found += [child, *child.children(recursive=True)]
    return found


async def test_a_cancelled_check_leaves_no_process(sandbox: Sandbox) -> None:
    """Not even one that has left its group and its session."""
    endless = b"import os, time\nif os.fork() == 0: os.setsid()\nwhile True: time.sleep(0.01)\n"
    running = asyncio.ensure_future(
        run_project(brief_of(SITES[0]), sandbox, spoil=before("qa", "tests/test_endless.py", endless))
    )
    # The program, its namespace's first process, the tests, and what has left them.
    for _ in range(200):
        if len(started := in_sandbox()) == 4:
            break
        await asyncio.sleep(0.05)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(started) == 4
    gone, _ = psutil.wait_procs(started, timeout=5)
    assert set(started) == set(gone)
