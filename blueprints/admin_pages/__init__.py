"""The pages on which operators administer: each module adds its own to ``pages``."""

from __future__ import annotations

from blueprints.web.pages import Pages

pages = Pages("admin_pages")

# Each module registers its pages on the ones above.
from blueprints.admin_pages import codes, devices  # noqa: E402

__all__ = ["codes", "devices", "pages"]
