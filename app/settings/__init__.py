"""The settings of an installation, and how each is read; ``fields.py`` names them."""

from __future__ import annotations

from app.settings.fields import UNPREFIXED, Settings, load_settings, variable_of

__all__ = ["UNPREFIXED", "Settings", "load_settings", "variable_of"]
