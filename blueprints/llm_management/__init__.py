"""What operators set for language models and see of them: each module adds its operations."""

from __future__ import annotations

from blueprints.web.operations import Api

api = Api("llm", "/api/llm")

# Each module registers its operations on the one above.
from blueprints.llm_management import prices, projects, settings  # noqa: E402

__all__ = ["api", "prices", "projects", "settings"]
