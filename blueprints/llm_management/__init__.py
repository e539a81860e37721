"""What operators set for language models and see of them: each module adds its operations."""

from __future__ import annotations

from blueprints.web.operations import Api

api = Api("llm", "/api/llm")

# Each module registers its operations on the one above.
from blueprints.llm_management import alerts, prices, projects, settings, templates, usage  # noqa: E402

__all__ = ["alerts", "api", "prices", "projects", "settings", "templates", "usage"]
