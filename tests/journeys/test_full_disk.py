"""The disk of the state folder is full, and its files too: devices are answered, and no process ends."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from support.builders import activate, activated, licensed
from support.databases import settings_for
from support.disks import fill, make_read_only, mounted
from support.journey import PATIENCE
from support.processes import is_alive, served

from app.errors import DeliveryDeferredError, FilesUnavailableError
from app.messages.mailbox import Mailbox
from app.messages.ports import Mail
from app.providers.artifacts import Artifacts

ASKED = 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of some megabytes."""
    with mounted(tmp_path / "disk", 24) as folder:
        yield folder


@pytest.mark.processes
async def test_a_server_whose_state_folder_takes_no_more_answers(database: str, small_disk: Path) -> None:
    is_sqlite = database.startswith("sqlite")
    if is_sqlite:
        shutil.copy(str(make_url(database).database), small_disk / "portal.db")
        database = f"sqlite+aiosqlite:///{small_disk}/portal.db"
    seen: dict[str, Counter[int]] = {}
    async with served(database, small_disk, workers=2, PORTAL_LOG_LEVEL="info") as server:
        device = await activated(server, await licensed(server, max_uses=100))
        workers = server.worker_pids()

        async def ask(state: str) -> None:
            path, body = "/licenses/heartbeat", {"hw_fingerprint": device.hw_fingerprint}
            for name, asked in (
                ("policy", lambda: server.http.get("/licenses/policy", headers=device.headers)),
                ("heartbeat", lambda: server.http.post(path, headers=device.headers, json=body)),
                ("metrics", lambda: server.http.get("/metrics")),
                # Each of them counts under labels of its own.
                ("unknown", lambda: activate(server, device.tenant, code="unknown")),
                ("ready", lambda: server.http.get("/readyz")),
            ):
                answers = await asyncio.gather(*(asked() for _ in range(ASKED)))
                seen[f"{name}, {state}"] = Counter(answer.status_code for answer in answers)

        await ask("roomy")
        filler = fill(small_disk)
        # Until a look at the disk is due again.
        await asyncio.sleep(2.1)
        await ask("full")
        filler.unlink()
        async with asyncio.timeout(PATIENCE):
            while (await server.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.1)
        await ask("roomy again")
        assert all(is_alive(pid) for pid in workers)
        # What was logged on the full disk may be half a line.
        assert "worker_died" not in server.log.read_text()

    stores = {"roomy", "roomy again"} if is_sqlite else {"roomy", "full", "roomy again"}
    for what, statuses in seen.items():
        name, _, state = what.partition(", ")
        usual = {"unknown": 400}.get(name, 200)
        is_usual = state in stores or name in {"policy", "metrics", "unknown"}
        assert set(statuses) == {usual if is_usual else 503}, what


@pytest.mark.parametrize("state", ["full", "read-only"])
async def test_what_cannot_be_written_is_told_and_tried_again(small_disk: Path, state: str) -> None:
    mailbox, mail = Mailbox(small_disk), Mail("ann@example.com", "Hello", "text " * 5000, "", datetime.now(UTC))
    artifacts = Artifacts(settings_for("", small_disk))
    await artifacts.put(1, b"before")
    await mailbox.send(mail)
    filler = fill(small_disk)
    if state == "read-only":
        filler.unlink()
        make_read_only(small_disk)

    with pytest.raises(DeliveryDeferredError, match="the mailbox cannot be written"):
        await mailbox.send(mail)
    with pytest.raises(FilesUnavailableError):
        await artifacts.put(1, bytes(100_000))
    assert not list((small_disk / "mailbox").glob(".*"))
    assert len(await mailbox.messages()) == 1

    if state == "read-only":
        make_read_only(small_disk, is_read_only=False)
    else:
        filler.unlink()
    await mailbox.send(mail)
    await artifacts.put(1, bytes(100_000))
    assert len(await mailbox.messages()) == 2
    artifacts.close()
