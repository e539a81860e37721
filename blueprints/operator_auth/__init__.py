"""How operators sign in and out: with the organisation's identity provider, by a password, or by a link."""

from __future__ import annotations

from blueprints.operator_auth.routes import api, pages

__all__ = ["api", "pages"]
