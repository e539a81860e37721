"""Devices refresh their tokens while workers are killed: an answer that is lost locks nobody out."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.processes import FULL_PROOF, ServerProcess, served
from support.served_devices import activate, tenant_on

pytestmark = pytest.mark.processes
DEVICES = 60
KILLS = 3
PAUSE_SECONDS = 3.0 if FULL_PROOF else 1.0


class Device:
    """A device that refreshes again and again, and sends the token that it has until it is answered."""

    def __init__(self, server: ServerProcess, slug: str, pair: dict[str, Any]) -> None:
        self._server, self._slug, self._pair = server, slug, pair
        self.refusals: list[str] = []
        self.used = [str(pair["refresh_token"])]
        self.lost = 0

    async def refresh(self) -> None:
        """Come by a new pair; a refusal is noted."""
        body = {
            "tenant_slug": self._slug,
            "device_id": self._pair["device_id"],
            "refresh_token": self.used[-1],
        }
        while True:
            try:
                answer = await self._server.http.post("/authz/refresh", json=body)
            except httpx2.TransportError:
                self.lost += 1
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 503:
                continue
            if answer.status_code == 200:
                self.used.append(answer.json()["refresh_token"])
            else:
                self.refusals.append(answer.text)
            return

    async def live(self, end: asyncio.Event) -> None:
        """Refresh until the end, or until a refusal."""
        while not end.is_set() and not self.refusals:
            await self.refresh()

    async def stolen(self) -> httpx2.Response:
        """The answer to a thief, who shows the token before the last one."""
        body = {"tenant_slug": self._slug, "device_id": self._pair["device_id"], "refresh_token": self.used[-3]}
        return await self._server.http.post("/authz/refresh", json=body)


@pytest.mark.alone
async def test_no_device_is_locked_out_while_workers_are_killed(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, workers=2) as server:
        tenant = await tenant_on(server, max_uses=DEVICES)
        enrolled = await asyncio.gather(*(activate(server, tenant, f"hw-{number}") for number in range(DEVICES)))
        living = [Device(server, tenant.slug, pair) for _, pair in enrolled]
        end = asyncio.Event()
        at_work = [asyncio.create_task(device.live(end)) for device in living]
        for _ in range(KILLS):
            await asyncio.sleep(PAUSE_SECONDS)
            os.kill(server.worker_pids()[0], signal.SIGKILL)
        await asyncio.sleep(PAUSE_SECONDS)
        end.set()
        await asyncio.gather(*at_work)
        for device in living:
            await device.refresh()

        assert [device.refusals for device in living] == [[]] * DEVICES
        # The kills have cost answers, or this has shown nothing.
        assert sum(device.lost for device in living) > 0
        thief = await living[0].stolen()
        await living[0].refresh()
        assert (thief.status_code, thief.json()["errorCode"]) == (401, "refresh_token_reused")
        assert len(living[0].refusals) == 1
