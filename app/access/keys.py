"""Keys derived from the installation's one secret, one per purpose, and the keyed hashes made with them."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Literal, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import SettingsError
from app.settings import Settings

NONCE_BYTES = 12

# What random tokens are for; each kind is hashed with a key of its own.
TokenKind = Literal["tenant session", "operator session", "API token", "sign-in link"]


class Keys:
    """Hashes and seals what must not be stored in clear; another secret key makes all of it unreadable."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.secret_key.get_secret_value().encode()
        self._forms = _derive(secret, "forms")
        self._cookie_sealing = AESGCM(_derive(secret, "sealed cookies"))
        self._codes = _derive(secret, "activation codes")
        self._refresh = _derive(secret, "refresh tokens")
        self._refresh_mac = _derive(secret, "refresh token marks")
        self._tokens = {kind: _derive(secret, f"{kind}s") for kind in get_args(TokenKind)}
        self._passwords = _derive(secret, "one-time passwords")
        self._windows = _derive(secret, "rate windows")
        self._cookies = _derive(secret, "cookies")
        self._requests = _derive(secret, "requests that may be repeated")
        self._answers = _derive(secret, "kept answers")
        self._audit = _derive(secret, "audit seals")
        self._sealing = AESGCM(_derive(secret, "signing keys"))

    def code_hash(self, normalized_code: str) -> bytes:
        """The keyed hash under which an activation code is stored."""
        return hmac.digest(self._codes, normalized_code.encode(), hashlib.sha256)

    def refresh_token_hash(self, token: str) -> bytes:
        """The keyed hash under which the current token of a family is stored."""
        return hmac.digest(self._refresh, token.encode(), hashlib.sha256)

    def refresh_token_mark(self, body: str) -> bytes:
        """The mark by which we recognise a refresh token as ours, used or not."""
        return hmac.digest(self._refresh_mac, body.encode(), hashlib.sha256)[:16]

    def token_hash(self, kind: TokenKind, token: str) -> bytes:
        """The keyed hash under which a random token is stored."""
        return hmac.digest(self._tokens[kind], _as_sent(token), hashlib.sha256)

    def one_time_password_hash(self, tenant_id: int, password: str) -> bytes:
        """The keyed hash under which a tenant's open challenge is stored; another tenant's equal digits differ."""
        return hmac.digest(self._passwords, f"{tenant_id}:{password}".encode(), hashlib.sha256)

    def window_hash(self, what: str, whom: str) -> bytes:
        """The keyed hash of what is counted and for whom; addresses and slugs are not stored for it."""
        return hmac.digest(self._windows, f"{what}:{whom}".encode(), hashlib.sha256)

    def cookie_mark(self, text: str) -> bytes:
        """The mark by which a cookie is recognised as ours."""
        return hmac.digest(self._cookies, text.encode(), hashlib.sha256)[:16]

    def request_hash(self, *parts: bytes) -> bytes:
        """The keyed hash of a request that may be repeated, or of whose it is; the parts cannot run together."""
        told = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        return hmac.digest(self._requests, told, hashlib.sha256)

    def answer_cipher(self, chosen_key: str) -> AESGCM:
        """What seals the answer kept under a key that a caller chose; without that key nobody opens it, we neither."""
        return AESGCM(hmac.digest(self._answers, chosen_key.encode(), hashlib.sha256))

    def audit_seal(self, previous: bytes, event: bytes) -> bytes:
        """The seal of an event in the audit chain, which covers the seal before it."""
        return hmac.digest(self._audit, previous + event, hashlib.sha256)

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt what is stored at rest; ``purpose`` must be the same when it is opened."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt what was sealed; raises SettingsError when the secret key is not the one it was sealed with."""
        try:
            return self._sealing.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
        except InvalidTag:
            reason = "is not the one that the stored signing keys were sealed with"
            raise SettingsError(key="secret_key", variable="PORTAL_SECRET_KEY", reason=reason) from None

    def form_mark(self, text: str) -> bytes:
        """The mark by which a form is recognised as one that we gave to this browser."""
        return hmac.digest(self._forms, _as_sent(text), hashlib.sha256)

    def seal_cookie(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt what a browser keeps for us and must neither read nor change."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cookie_sealing.encrypt(nonce, plain, purpose.encode())

    def open_cookie(self, sealed: bytes, purpose: str) -> bytes | None:
        """Decrypt what ``seal_cookie`` has sealed for the same purpose; None for anything else."""
        try:
            return self._cookie_sealing.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError):
            return None


def fingerprint_hash(hw_fingerprint: str) -> str:
    """SHA-256, in hexadecimal, of what a device sends as its hardware fingerprint."""
    return hashlib.sha256(hw_fingerprint.encode()).hexdigest()


def _as_sent(text: str) -> bytes:
    """The bytes of a header or a cookie, whatever they are: what was no UTF-8 is told in the text by surrogates."""
    return text.encode(errors="surrogateescape")


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, b"addon-portal/" + purpose.encode(), hashlib.sha256)
