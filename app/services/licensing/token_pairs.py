"""The two tokens of a device: a short-lived signed access token, and a random one-time token to refresh both."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from app.access.keys import Keys
from app.context import Context

FAMILY_BYTES = 16
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What activation and refresh answer; ``expires_in`` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int
    device_id: int


@dataclass(frozen=True, slots=True)
class Entitlements:
    """What the plan grants, as the access token carries it."""

    plan: str | None
    monthly_run_quota: int
    subscription_state: str | None

    def as_claim(self) -> dict[str, Any]:
        """The claim ``entitlements``."""
        return {
            "plan": self.plan,
            "monthly_run_quota": self.monthly_run_quota,
            "subscription_state": self.subscription_state,
        }


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """``family.secret.mark``: the family stays, the secret is used once, the mark proves that we have issued both."""

    text: str
    family_id: str


def new_refresh_token(keys: Keys, family_id: str | None = None) -> RefreshToken:
    """The first token, random, of a new family unless one is named."""
    family = family_id or secrets.token_urlsafe(FAMILY_BYTES)
    return _marked(keys, family, secrets.token_urlsafe(SECRET_BYTES))


def next_refresh_token(keys: Keys, token: RefreshToken) -> RefreshToken:
    """The successor of a token, derived from it: whoever lost it is given it again, and nothing is stored in clear."""
    return _marked(keys, token.family_id, _text(keys.refresh_token_successor(token.text)))


def read_refresh_token(keys: Keys, text: str) -> RefreshToken | None:
    """A token that we have issued at some time, else None: a stranger who knows a family's id cannot revoke it."""
    body, _, mark = text.rpartition(".")
    if not text.isascii() or body.count(".") != 1 or not hmac.compare_digest(mark, _mark(keys, body)):
        return None
    return RefreshToken(text, body.partition(".")[0])


def token_pair(
    ctx: Context, tenant_id: int, device_id: int, refresh_token: RefreshToken, entitlements: Entitlements
) -> TokenPair:
    """Sign the access token and answer both."""
    return TokenPair(
        access_token=ctx.runtime.tokens.issue(tenant_id, device_id, entitlements.as_claim()),
        refresh_token=refresh_token.text,
        token_type="Bearer",  # noqa: S106 - the scheme's name
        expires_in=ctx.runtime.settings.access_token_seconds,
        device_id=device_id,
    )


def _marked(keys: Keys, family_id: str, secret: str) -> RefreshToken:
    body = f"{family_id}.{secret}"
    return RefreshToken(f"{body}.{_mark(keys, body)}", family_id)


def _mark(keys: Keys, body: str) -> str:
    return _text(keys.refresh_token_mark(body))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
