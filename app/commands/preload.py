"""The imports of the fork server, so that workers start at once and share the memory of the modules."""

from __future__ import annotations

import gc

# Imports produce almost no garbage, and collecting it would take a tenth of the import time. Modules live as long as
# the process: gc.freeze exempts them from later collections, which would also write to their shared pages.
gc.disable()

import sanic.worker.serve  # noqa: E402, F401

import app.commands.work_process  # noqa: E402
import app.commands.worker  # noqa: E402
import app.server  # noqa: E402, F401

gc.freeze()
gc.enable()
