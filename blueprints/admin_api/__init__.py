"""What operators administer, as JSON: ``/admin/api``."""

from blueprints.operations import Api

api = Api("admin", "/admin/api")

# Each adds its operations to ``api``.
from blueprints.admin_api import tokens  # noqa: E402

__all__ = ["api", "tokens"]
