"""The imports of the fork server of a host that only works: what a work process needs, and the durable engine."""

from __future__ import annotations

import gc

# As for a server that answers: see ``preload``.
gc.disable()

import app.commands.work_process  # noqa: E402
import app.jobs.durable  # noqa: E402, F401

gc.freeze()
gc.enable()
