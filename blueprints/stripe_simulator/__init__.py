"""Stripe's simulator in the browser and over HTTP, in development only; each page with its template."""

from __future__ import annotations

from blueprints.web.pages import Pages

pages = Pages("stripe_simulator")

# Each module registers its pages on the ones above.
from blueprints.stripe_simulator import checkout, invoices, overview, portal  # noqa: E402
from blueprints.stripe_simulator.api import add_stripe_simulator  # noqa: E402

__all__ = ["add_stripe_simulator", "checkout", "invoices", "overview", "pages", "portal"]
