"""What the doctor says of the store of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.databases import settings_for

from app.commands.file_checks import file_store

NOWHERE = "sqlite+aiosqlite:////nowhere/portal.db"


async def test_a_folder_that_works_is_named_and_left_empty(tmp_path: Path) -> None:
    finding = await file_store(settings_for(NOWHERE, tmp_path))

    assert finding.status == "ok"
    assert str(tmp_path / "artifacts") in finding.detail
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # noqa: ASYNC240 - nobody waits


async def test_a_folder_that_cannot_be_made_is_a_failure_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "artifacts").write_text("in the way")

    finding = await file_store(settings_for(NOWHERE, tmp_path))

    assert finding.status == "failure"
    assert "File exists" in finding.detail
    assert "PORTAL_ARTIFACTS_URL" in finding.detail
    assert "\n" not in finding.detail
    # The doctor's answer may be one JSON object.
    assert capsys.readouterr().out == ""


async def test_a_store_that_answers_something_else_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.providers.objects import Objects

    put = Objects.put
    monkeypatch.setattr(
        Objects,
        "put",
        lambda self, run_id, content: (
            sha256 := put(self, run_id, content),
            (tmp_path / "artifacts" / "runs" / str(run_id) / sha256).write_bytes(b"x" * len(content)),
        )[0],
    )

    finding = await file_store(settings_for(NOWHERE, tmp_path))

    assert finding.status == "failure"
    assert "another file" in finding.detail
