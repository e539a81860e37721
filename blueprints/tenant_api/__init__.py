"""What a tenant does in its browser."""

from blueprints.operations import Api

api = Api("tenant", "/api/tenant")

# Each puts its routes on it.
from blueprints.tenant_api import profile  # noqa: E402, F401
