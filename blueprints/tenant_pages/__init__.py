"""Pages for tenants, to which links lead that operators and messages give them."""

from __future__ import annotations

from blueprints.web.pages import Pages

pages = Pages("tenant_pages")

# Each module registers its pages on the one above.
from blueprints.tenant_pages import contact_changes, sign_in_links  # noqa: E402

__all__ = ["contact_changes", "pages", "sign_in_links"]
