"""What messages to tenants say; a subject never holds what only the recipient may read."""

from __future__ import annotations

from datetime import date, datetime
from html import escape

from app.messages.ports import Mail

# Two messages may arrive in the wrong order, and people try the code that they see first.
NEWEST = "If you asked more than once, only the newest code works."
_PAGE = '<!doctype html><html lang="en"><head><meta charset="utf-8"></head><body>{}</body></html>'


def password_text(password: str, minutes: int) -> str:
    """A one-time password as a short message."""
    return f"Your sign-in code is {password}. It is good for {minutes} minutes and works once. {NEWEST}"


def password_mail(to: str, tenant_name: str, password: str, minutes: int, at: datetime) -> Mail:
    """A one-time password as mail."""
    hint = "If you did not ask for it, ignore this message; nobody can sign in without the code."
    text = f"{password_text(password, minutes)}\n\nIt signs in {tenant_name}.\n{hint}\n"
    html = _PAGE.format(
        f'<p>Your sign-in code is</p><p style="font-size:2em;letter-spacing:.2em"><strong>{password}</strong></p>'
        f"<p>It is good for {minutes} minutes and works once. {NEWEST}</p>"
        f"<p>It signs in {escape(tenant_name)}.</p><p>{hint}</p>"
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


def contact_change_text(tenant_name: str, changes: str, link: str, hours: int) -> str:
    """A change that waits, as a short message."""
    asked = f"Somebody signed in as {tenant_name} asks to change {changes}."
    return f"{asked} Confirm or refuse it within {hours} hours: {link}"


def contact_change_mail(to: str, tenant_name: str, changes: str, link: str, hours: int, at: datetime) -> Mail:
    """A change of where one-time passwords go, which waits for its confirmation."""
    paragraphs = [
        f"Somebody who is signed in as {tenant_name} asks to change {changes}.",
        "Sign-in codes would go there from then on. Nothing has changed yet.",
        "If it was not you, refuse it: that also signs everybody out who is signed in.",
    ]
    return _mail_with_link(to, "Confirm a change of your contact data", paragraphs, f"Within {hours} hours:", link, at)


def contact_changed_text(tenant_name: str, changes: str) -> str:
    """A change that was made, as a short message."""
    return (
        f"{tenant_name} has changed {changes}. Sign-in codes go there now. If it was not you, tell your vendor at once."
    )


def contact_changed_mail(to: str, tenant_name: str, changes: str, at: datetime) -> Mail:
    """Where one-time passwords went before is told that they do so no more."""
    text = contact_changed_text(tenant_name, changes)
    return Mail(to, "Your contact data have changed", f"{text}\n", _PAGE.format(f"<p>{escape(text)}</p>"), at)


def payment_failed_mail(to: str, tenant_name: str, until: date, page: str, at: datetime) -> Mail:
    """A payment has failed, and everything goes on for a while."""
    return _mail_with_link(
        to,
        "Your last payment has failed",
        [
            f"The last payment for {tenant_name} has failed.",
            f"Everything goes on as before until {_day(until)}.",
            "After that, runs and activations stop until the invoice is paid.",
        ],
        "Check your card and pay the open invoice:",
        page,
        at,
    )


def grace_ended_mail(to: str, tenant_name: str, page: str, at: datetime) -> Mail:
    """The days of grace are over."""
    return _mail_with_link(
        to,
        "Runs and activations have stopped",
        [
            f"The last payment for {tenant_name} is still missing, so runs and activations have stopped.",
            "Nothing was deleted, and devices that are activated still read their policy.",
            "Everything goes on at once when the invoice is paid.",
        ],
        "Pay the open invoice:",
        page,
        at,
    )


def trial_ending_mail(to: str, tenant_name: str, ends_on: date, page: str, at: datetime) -> Mail:
    """A trial will end."""
    return _mail_with_link(
        to,
        "Your trial will end soon",
        [
            f"The trial of {tenant_name} ends on {_day(ends_on)}.",
            "Unless a plan is paid for by then, runs and activations stop. Nothing is deleted.",
        ],
        "Choose a plan or check your card:",
        page,
        at,
    )


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _mail_with_link(to: str, subject: str, paragraphs: list[str], request: str, page: str, at: datetime) -> Mail:
    text = "\n\n".join([*paragraphs, f"{request}\n{page}"]) + "\n"
    link = f'<a href="{escape(page)}">{escape(page)}</a>'
    html = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs) + f"<p>{escape(request)}<br>{link}</p>"
    return Mail(to, subject, text, _PAGE.format(html), at)
