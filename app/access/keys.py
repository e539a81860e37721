"""Keys derived from the installation's secret key, one per purpose: for keyed hashes (HMAC) and for encryption."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Literal, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import SettingsError
from app.settings import Settings

NONCE_BYTES = 12

# The purposes of random tokens; each kind is hashed with its own key.
TokenKind = Literal[
    "tenant session", "operator session", "API token", "sign-in link", "tenant sign-in link", "contact change"
]


class Keys:
    """Hashes or encrypts values that must not be stored in clear; they are useless with another secret key."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.secret_key.get_secret_value().encode()
        self._forms = _derive(secret, "forms")
        self._cookie_sealing = AESGCM(_derive(secret, "sealed cookies"))
        self._codes = _derive(secret, "activation codes")
        self._refresh = _derive(secret, "refresh tokens")
        self._refresh_mac = _derive(secret, "refresh token marks")
        self._successors = _derive(secret, "refresh token successors")
        self._tokens = {kind: _derive(secret, f"{kind}s") for kind in get_args(TokenKind)}
        self._passwords = _derive(secret, "one-time passwords")
        self._windows = _derive(secret, "rate windows")
        self._cookies = _derive(secret, "cookies")
        self._requests = _derive(secret, "requests that may be repeated")
        self._answers = _derive(secret, "kept answers")
        self._questions = _derive(secret, "questions to models")
        self._audit = _derive(secret, "audit seals")
        self._simulator = _derive(secret, "Stripe's simulator")
        self._sealing = AESGCM(_derive(secret, "signing keys"))

    def code_hash(self, normalized_code: str) -> bytes:
        """The keyed hash under which an activation code is stored."""
        return hmac.digest(self._codes, normalized_code.encode(), hashlib.sha256)

    def refresh_token_hash(self, token: str) -> bytes:
        """The keyed hash under which the current token of a family is stored."""
        return hmac.digest(self._refresh, token.encode(), hashlib.sha256)

    def refresh_token_mark(self, body: str) -> bytes:
        """The signature (HMAC) that proves that the portal issued a refresh token, used or not."""
        return hmac.digest(self._refresh_mac, body.encode(), hashlib.sha256)[:16]

    def refresh_token_successor(self, token: str) -> bytes:
        """The secret of the token that follows this one: the same at every call, and no use without the secret key."""
        return hmac.digest(self._successors, token.encode(), hashlib.sha256)

    def token_hash(self, kind: TokenKind, token: str) -> bytes:
        """The keyed hash under which a random token is stored."""
        return hmac.digest(self._tokens[kind], _raw_bytes(token), hashlib.sha256)

    def one_time_password_hash(self, tenant_id: int, password: str) -> bytes:
        """The keyed hash of a tenant's one-time password; the same digits have another hash for another tenant."""
        return hmac.digest(self._passwords, f"{tenant_id}:{password}".encode(), hashlib.sha256)

    def window_hash(self, limit: str, key: str) -> bytes:
        """The keyed hash of a rate limit's name and key, so that addresses and slugs are not stored."""
        return hmac.digest(self._windows, f"{limit}:{key}".encode(), hashlib.sha256)

    def cookie_mark(self, text: str) -> bytes:
        """The signature (HMAC) that proves that the portal issued a cookie."""
        return hmac.digest(self._cookies, text.encode(), hashlib.sha256)[:16]

    def request_hash(self, *parts: bytes) -> bytes:
        """The keyed hash of a request, or of its caller; the parts' lengths are hashed too, so no two lists collide."""
        return hmac.digest(self._requests, _joined(parts), hashlib.sha256)

    def question_hash(self, *parts: bytes) -> bytes:
        """The keyed hash of a question to a model, under which its answer is kept; no two lists collide here."""
        return hmac.digest(self._questions, _joined(parts), hashlib.sha256)

    def answer_cipher(self, idempotency_key: str) -> AESGCM:
        """The cipher of an answer stored under a caller's key; without that key not even the portal can decrypt it."""
        return AESGCM(hmac.digest(self._answers, idempotency_key.encode(), hashlib.sha256))

    def simulator_secret(self, purpose: Literal["api key", "webhook secret"]) -> str:
        """A secret that the portal and Stripe's simulator share, so that neither has to be given one."""
        prefix = "sk_test_simulator_" if purpose == "api key" else "whsec_simulator_"
        return prefix + hmac.digest(self._simulator, purpose.encode(), hashlib.sha256).hex()

    def audit_seal(self, previous: bytes, event: bytes) -> bytes:
        """The seal (HMAC) of an event in the audit chain; it covers the previous seal."""
        return hmac.digest(self._audit, previous + event, hashlib.sha256)

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt a value for the database; ``open`` needs the same ``purpose``."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt a value from ``seal``; raises SettingsError if it was encrypted with another secret key."""
        try:
            return self._sealing.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
        except InvalidTag:
            reason = "is not the one that the stored signing keys were sealed with"
            raise SettingsError(key="secret_key", variable="PORTAL_SECRET_KEY", reason=reason) from None

    def form_mark(self, text: str) -> bytes:
        """The signature (HMAC) that proves that the portal served a form to this browser."""
        return hmac.digest(self._forms, _raw_bytes(text), hashlib.sha256)

    def seal_cookie(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt the value of a cookie, which the browser must neither read nor change."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cookie_sealing.encrypt(nonce, plain, purpose.encode())

    def open_cookie(self, sealed: bytes, purpose: str) -> bytes | None:
        """Decrypt a value from ``seal_cookie`` with the same purpose; None for anything else."""
        try:
            return self._cookie_sealing.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError):
            return None


def fingerprint_hash(hw_fingerprint: str) -> str:
    """SHA-256, in hexadecimal, of the hardware fingerprint that a device sends."""
    return hashlib.sha256(hw_fingerprint.encode()).hexdigest()


def _joined(parts: Sequence[bytes]) -> bytes:
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _raw_bytes(text: str) -> bytes:
    """The original bytes of a header or a cookie; the text has surrogates where they are not UTF-8."""
    return text.encode(errors="surrogateescape")


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, b"addon-portal/" + purpose.encode(), hashlib.sha256)
