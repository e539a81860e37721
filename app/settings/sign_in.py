"""The settings of signing in, of tenants and of operators."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from app.settings.kinds import CommaList

# Two windows of a day may touch within any 24 hours: twice this many guesses at one of 1,000,000 codes stay below 1e-4.
MAX_GUESSES_OF_STRANGERS = 49


class SignInSettings(BaseSettings):
    """How tenants and operators sign in, how long that lasts, and what strangers may try."""

    session_idle_seconds: int = Field(ge=60)
    session_seconds: int = Field(ge=300)
    one_time_password_seconds: int = Field(ge=60)
    one_time_password_attempts: int = Field(ge=1, le=10)
    one_time_passwords_per_tenant: int = Field(ge=1)
    one_time_passwords_per_tenant_and_address: int = Field(ge=1)
    one_time_passwords_per_address: int = Field(ge=1)
    one_time_passwords_per_browser: int = Field(ge=1)
    one_time_password_guesses_per_tenant: int = Field(ge=1, le=MAX_GUESSES_OF_STRANGERS)
    one_time_password_guesses_per_tenant_and_address: int = Field(ge=1)
    one_time_password_guesses_per_address: int = Field(ge=1)
    one_time_password_guesses_per_browser: int = Field(ge=1)
    known_browser_days: int = Field(ge=1, le=400)
    contact_change_seconds: int = Field(ge=3600, le=30 * 86400)
    tenant_sign_in_url: str
    tenant_sign_in_link_seconds: int = Field(ge=60, le=86400)
    operator_idle_seconds: int = Field(ge=60)
    operator_session_seconds: int = Field(ge=300)
    sign_in_link_seconds: int = Field(ge=60)
    sign_ins_per_address: int = Field(ge=1)
    sign_ins_per_account: int = Field(ge=1)
    api_token_days: int = Field(ge=1, le=3650)
    oidc_issuer: str
    oidc_client_id: str
    oidc_allowed_emails: CommaList
    oidc_allowed_domains: CommaList
    oidc_role_claim: str
    oidc_default_role: Literal["owner", "operator", "read_only", ""]
