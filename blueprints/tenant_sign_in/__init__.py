"""The pages on which a tenant uses a link that an operator has made for it."""

from __future__ import annotations

from blueprints.tenant_sign_in.routes import pages

__all__ = ["pages"]
