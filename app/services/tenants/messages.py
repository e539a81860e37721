"""What messages to tenants say; a subject never holds what only the recipient may read."""

from __future__ import annotations

from datetime import datetime
from html import escape

from app.messages.ports import Mail

_PAGE = '<!doctype html><html lang="en"><head><meta charset="utf-8"></head><body>{}</body></html>'


def password_text(password: str, minutes: int) -> str:
    """A one-time password as a short message."""
    return f"Your sign-in code is {password}. It is good for {minutes} minutes and works once."


def password_mail(to: str, tenant_name: str, password: str, minutes: int, at: datetime) -> Mail:
    """A one-time password as mail."""
    hint = "If you did not ask for it, ignore this message; nobody can sign in without the code."
    text = f"{password_text(password, minutes)}\n\nIt signs in {tenant_name}.\n{hint}\n"
    html = _PAGE.format(
        f'<p>Your sign-in code is</p><p style="font-size:2em;letter-spacing:.2em"><strong>{password}</strong></p>'
        f"<p>It is good for {minutes} minutes and works once. It signs in {escape(tenant_name)}.</p><p>{hint}</p>"
    )
    return Mail(to, "Your sign-in code", text, html, at)


def welcome_mail(to: str, tenant_name: str, tenant_slug: str, at: datetime) -> Mail:
    """A new tenant's welcome: how to sign in, and no secret."""
    how = "There is no password: whenever you sign in, a code is sent to you."
    text = f"Welcome, {tenant_name}.\n\nYou sign in with the name {tenant_slug}.\n{how}\n"
    html = _PAGE.format(
        f"<p>Welcome, {escape(tenant_name)}.</p>"
        f"<p>You sign in with the name <strong>{escape(tenant_slug)}</strong>.</p><p>{how}</p>"
    )
    return Mail(to, "Welcome: how to sign in", text, html, at)
