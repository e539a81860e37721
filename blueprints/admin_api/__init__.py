"""What operators administer: tenants, plans, codes and devices."""

from blueprints.operations import Api

api = Api("admin", "/admin/api")

# Each puts its routes on it.
from blueprints.admin_api import codes, devices, plans, tenants  # noqa: E402, F401
