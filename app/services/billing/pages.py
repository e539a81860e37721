"""Where Stripe sends a tenant's browser back to."""

from __future__ import annotations

from app.settings import Settings


def return_url(settings: Settings, query: str = "") -> str:
    """The billing page of the tenants' front end, with this query: as configured, or at the first allowed origin."""
    origin = settings.allowed_origins[0] if settings.allowed_origins else settings.public_url
    page = settings.billing_return_url or f"{origin.rstrip('/')}/billing"
    return f"{page}?{query}" if query else page
