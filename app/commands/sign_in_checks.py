"""The doctor's checks of sign-in: whether the identity provider answers, and whether an operator exists."""

from __future__ import annotations

from urllib.parse import urlsplit

from app.access.discovery import Discovery
from app.access.identity_provider import IdentityProvider
from app.access.provider_words import ProviderWords
from app.clock import SystemClock
from app.commands.check_result import CheckResult
from app.commands.session import log_warnings
from app.errors import ClientRefusedError, SignInUnavailableError
from app.messages.mail import is_loopback
from app.runtime import Runtime
from app.settings import Settings
from sql.statements import operators as statements

CHECK = "identity_provider"
ALLOWED = "PORTAL_ALLOWED_ORIGINS"


async def identity_provider(settings: Settings) -> CheckResult:
    """Whether the provider can be read and accepts the client, and whether the settings admit anybody from it.

    The client is tried with a code that the provider has not given out, so nobody signs in.
    """
    provider = IdentityProvider(settings, SystemClock())
    if not provider.is_configured:
        if settings.oidc_issuer or settings.oidc_client_id:
            return CheckResult(CHECK, "failure", "oidc_issuer and oidc_client_id belong together; set both, or neither")
        return CheckResult(CHECK, "ok", "none; operators sign in by password")
    log_warnings(settings)
    try:
        discovery = await provider.discovery()
        words = await provider.try_client()
    except ClientRefusedError as refused:
        detail = (
            f"{settings.oidc_issuer} does not accept this client ({refused.values['error']}): nobody can sign in there;"
            " compare oidc_client_id and PORTAL_OIDC_CLIENT_SECRET with the provider"
        )
        return CheckResult(CHECK, "failure", detail)
    except SignInUnavailableError:
        detail = (
            f"{settings.oidc_issuer}/.well-known/openid-configuration cannot be read or names another issuer, or its"
            " token endpoint does not answer"
        )
        return CheckResult(CHECK, "failure", detail)
    finally:
        await provider.close()
    if (caution := _caution(settings, discovery, words)) is not None:
        return CheckResult(CHECK, "warning", caution)
    return CheckResult(
        CHECK, "ok", f"{discovery.issuer} accepts the client; its redirect address is {provider.callback}"
    )


def _caution(settings: Settings, discovery: Discovery, words: ProviderWords) -> str | None:
    """What works at this provider and is rarely intended."""
    if not (settings.oidc_allowed_emails or settings.oidc_allowed_domains or settings.oidc_role_claim):
        return f"{discovery.issuer} may let nobody in; set oidc_allowed_emails, oidc_allowed_domains or oidc_role_claim"
    if settings.environment == "production" and not discovery.issuer.startswith("https://"):
        return f"{discovery.issuer} is not https: whoever is on the way can sign in"
    if words.error != "invalid_grant":
        return f"{discovery.issuer} does not say whether it accepts the client and its secret{words.in_brackets}"
    return None


def allowed_origins(settings: Settings) -> CheckResult:
    """Whose pages may send changes with an operator's cookie, and in production which of them anybody may serve."""
    origins, own = settings.allowed_origins, settings.public_url
    if not origins:
        return CheckResult("allowed_origins", "ok", f"none: only pages at {own} may call from a browser")
    listed = ", ".join(origins)
    if settings.environment == "production":
        if local := [origin for origin in origins if is_loopback(urlsplit(origin).hostname or "")]:
            detail = f"{', '.join(local)} is whatever runs on the computer of who looks at it; leave it out ({ALLOWED})"
            return CheckResult("allowed_origins", "warning", detail)
        if plain := [origin for origin in origins if origin.startswith("http://")]:
            detail = f"{', '.join(plain)} is not https: whoever is on the way can change its pages ({ALLOWED})"
            return CheckResult("allowed_origins", "warning", detail)
    return CheckResult("allowed_origins", "ok", f"pages at {own} and {listed} may call from a browser")


async def some_operator(runtime: Runtime) -> CheckResult:
    """Whether an operator exists; a warning only in production without an identity provider."""
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.any_operator)
    if rows:
        return CheckResult("operators", "ok", "there are some")
    is_problem = runtime.settings.environment == "production" and not runtime.identity_provider.is_configured
    detail = "none yet; make one: portal create-operator --email you@example.com --role owner"
    return CheckResult("operators", "warning" if is_problem else "ok", detail)
