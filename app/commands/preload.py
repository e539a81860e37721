"""What the process imports that workers are forked from, so that each is there at once and shares the memory."""

from __future__ import annotations

import gc

# Imports leave next to nothing behind, and looking for it again and again takes a tenth of the time; what is imported
# lives as long as the process, so later collections need not look at it either, and its pages stay shared.
gc.disable()

import sanic.worker.serve  # noqa: E402, F401

import app.commands.worker  # noqa: E402
import app.server  # noqa: E402, F401

gc.freeze()
gc.enable()
