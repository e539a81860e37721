"""What people see when they sign in and out: small pages that work with the keyboard and without scripts."""

from __future__ import annotations

from html import escape

from sanic.response import HTTPResponse

from app.errors import PortalError
from app.services.operators.accounts import SignedInOperator
from app.services.operators.local_sign_in import MAX_CHARACTERS, MIN_CHARACTERS
from blueprints.web.pages import html_page

ERROR_ID = "error"


def sign_in_page(
    form_field: str, *, has_provider: bool, error: PortalError | None = None, status: int = 200, email: str = ""
) -> HTTPResponse:
    """Sign in by password, or with the provider where there is one."""
    described = f' aria-invalid="true" aria-describedby="{ERROR_ID}"' if error else ""
    provider = '<p class="way"><a href="/auth/login">Sign in with your organisation</a></p>\n' if has_provider else ""
    body = f"""{_alert(error)}{provider}<form method="post" action="/auth/local">
{form_field}
<p><label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="username" required autofocus
 value="{escape(email)}"{described}></p>
<p><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{described}></p>
<p><button type="submit">Sign in</button></p>
</form>
<p class="note">No password yet, or forgotten? An owner makes a sign-in link: <code>portal create-operator</code></p>"""
    return html_page("Sign in", body, status=status)


def password_page(
    form_field: str, *, token: str, email: str, error: PortalError | None = None, status: int = 200
) -> HTTPResponse:
    """Choose the password that a sign-in link is good for."""
    described = f"rule {ERROR_ID}" if error else "rule"
    body = f"""{_alert(error)}<form method="post" action="/auth/link">
{form_field}
<input type="hidden" name="token" value="{escape(token)}">
<p><label for="email">E-mail address</label>
<input id="email" type="email" autocomplete="username" readonly value="{escape(email)}"></p>
<p><label for="password">New password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required autofocus
 minlength="{MIN_CHARACTERS}" maxlength="{MAX_CHARACTERS}" aria-describedby="{described}"></p>
<p id="rule" class="note">At least {MIN_CHARACTERS} characters. This link works once.</p>
<p><button type="submit">Set the password and sign in</button></p>
</form>"""
    return html_page("Choose a password", body, status=status)


def sign_out_page(form_field: str) -> HTTPResponse:
    """Ask before the session is ended, because a link from anywhere may lead here."""
    body = f"""<p>Do you want to end your session in this browser?</p>
<form method="post" action="/auth/logout">
{form_field}
<p><button type="submit" autofocus>Sign out</button> <a href="/admin">Stay signed in</a></p>
</form>"""
    return html_page("Sign out", body)


def welcome_page(me: SignedInOperator) -> HTTPResponse:
    """Who is signed in, and where to go on."""
    permissions = "".join(f"<li><code>{escape(permission)}</code></li>" for permission in me.permissions)
    body = f"""<p>You are signed in as <strong>{escape(me.email or me.name or "")}</strong>, role
<strong>{escape(me.role.replace("_", "-"))}</strong>.</p>
<ul><li><a href="/docs">What the portal answers</a></li><li><a href="/auth/logout">Sign out</a></li></ul>
<h2>What you may do</h2>
<ul>{permissions}</ul>"""
    return html_page("Administration", body)


def _alert(error: PortalError | None) -> str:
    return "" if error is None else f'<p role="alert" class="error" id="{ERROR_ID}">{escape(_words(error))}</p>\n'


def _words(error: PortalError) -> str:
    wrong = getattr(error, "errors", None)
    return " ".join(str(field["msg"]) for field in wrong) if wrong else error.detail
