"""The doctor's checks of sign-in: whether the identity provider answers, and whether an operator exists."""

from __future__ import annotations

from app.access.identity_provider import IdentityProvider
from app.clock import SystemClock
from app.commands.check_result import CheckResult
from app.errors import SignInUnavailableError
from app.runtime import Runtime
from app.settings import Settings
from sql.statements import operators as statements

CHECK = "identity_provider"


async def identity_provider(settings: Settings) -> CheckResult:
    """Whether the provider's discovery document can be read, and whether the settings admit anybody from it."""
    provider = IdentityProvider(settings, SystemClock())
    if not provider.is_configured:
        if settings.oidc_issuer or settings.oidc_client_id:
            return CheckResult(CHECK, "failure", "oidc_issuer and oidc_client_id belong together; set both, or neither")
        return CheckResult(CHECK, "ok", "none; operators sign in by password")
    try:
        discovery = await provider.discovery()
    except SignInUnavailableError:
        detail = f"{settings.oidc_issuer}/.well-known/openid-configuration cannot be read, or names another issuer"
        return CheckResult(CHECK, "failure", detail)
    finally:
        await provider.close()
    if not (settings.oidc_allowed_emails or settings.oidc_allowed_domains or settings.oidc_role_claim):
        detail = (
            f"{discovery.issuer} may let nobody in; set oidc_allowed_emails, oidc_allowed_domains or oidc_role_claim"
        )
        return CheckResult(CHECK, "warning", detail)
    if settings.environment == "production" and not discovery.issuer.startswith("https://"):
        return CheckResult(CHECK, "warning", f"{discovery.issuer} is not https: whoever is on the way can sign in")
    return CheckResult(CHECK, "ok", f"{discovery.issuer}; its redirect address is {provider.callback}")


async def some_operator(runtime: Runtime) -> CheckResult:
    """Whether an operator exists; a warning only in production without an identity provider."""
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.any_operator)
    if rows:
        return CheckResult("operators", "ok", "there are some")
    is_problem = runtime.settings.environment == "production" and not runtime.identity_provider.is_configured
    detail = "none yet; make one: portal create-operator --email you@example.com --role owner"
    return CheckResult("operators", "warning" if is_problem else "ok", detail)
